// Runs once, when the form is in the page. Gradio provides `element`, which holds the form, and `trigger`, which sends an
// event to the server.
const strings = JSON.parse(element.querySelector("[data-script]").dataset.script);
const find = (id) => document.getElementById(id);
const page = element.closest(".gradio-container") ?? document.body;
const form = element.querySelector(".gg-form");
let song = null; // object URL of the visitor's own file
let sending = null; // XMLHttpRequest under way
let recorder = null;
let turn = 0; // number of the request: tells one result from the next that looks the same
let lostTimer = 0; // gives up on a request that gets no result

document.documentElement.lang = document.querySelector("meta[name=genregenie-locale]").content;

// ---- Requests

function busy() {
  return sending !== null || find("gg-state")?.dataset.state === "working" || form.hasAttribute("data-submitted");
}

function showError(sentence) {
  const error = find("gg-local-error");
  error.textContent = sentence;
  error.hidden = !sentence;
}

function loadSong(file) {
  if (song) URL.revokeObjectURL(song);
  song = file ? URL.createObjectURL(file) : null;
  const audio = find("gg-audio");
  page.classList.toggle("gg-soundless", !song);
  find("gg-unplayable").hidden = true;
  if (song) audio.src = song;
  else audio.removeAttribute("src");
  audio.load();
}

function submit(request) {
  turn += 1;
  form.setAttribute("data-submitted", "");
  showProgress(strings.waiting, null, strings.cancel, () => trigger("cancel"));
  trigger("classify", { ...request, turn });
  lostTimer = setTimeout(() => {
    endWaiting();
    showError(strings.lost);
  }, 60_000);
}

function endWaiting() {
  clearTimeout(lostTimer);
  form.removeAttribute("data-submitted");
  endSending();
}

function send(file) {
  if (!file || busy()) return;
  showError("");
  if (file.size > strings.maxBytes) {
    showError(strings.tooLarge);
    return;
  }
  loadSong(file);
  showProgress(strings.sending, 0, strings.cancel, () => sending?.abort());
  sending = new XMLHttpRequest();
  sending.open("POST", `song?name=${encodeURIComponent(file.name)}`);
  sending.setRequestHeader("Content-Type", "application/octet-stream");
  sending.upload.onprogress = (event) => showProgress(strings.sending, event.lengthComputable ? event.loaded / event.total : null);
  sending.onload = () => {
    const response = parseJson(sending.responseText);
    if (sending.status === 200) {
      sending = null;
      submit({ song: response.song });
    } else {
      endSending();
      showError(response.error ?? strings.lost);
    }
  };
  sending.onerror = () => {
    endSending();
    showError(strings.lost);
  };
  sending.onabort = endSending;
  sending.send(file);
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function endSending() {
  const focused = find("gg-sending").contains(document.activeElement);
  sending = null;
  find("gg-sending").hidden = true;
  form.removeAttribute("data-sending");
  if (focused) (document.querySelector("[data-cancel]") ?? find("gg-file")).focus();
}

function showProgress(text, share, label, stop) {
  const place = find("gg-sending");
  const bar = find("gg-sending-bar");
  if (find("gg-sending-text").textContent !== text) find("gg-sending-text").textContent = text;
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  if (stop) {
    const button = find("gg-sending-stop");
    button.textContent = label;
    button.onclick = stop;
    place.hidden = false;
    form.setAttribute("data-sending", "");
    button.focus();
  }
}

find("gg-file").addEventListener("change", (event) => {
  send(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});

find("gg-link-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const link = find("gg-link").value.trim();
  if (!link || busy()) {
    find("gg-link").focus();
    return;
  }
  showError("");
  loadSong(null);
  submit({ link });
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    form.toggleAttribute("data-over", kind === "dragover" && !busy());
    if (kind === "drop") send(event.dataTransfer.files[0]);
  }, true);
}

// ---- Recording

find("gg-record").addEventListener("click", async () => {
  if (busy() || recorder) return;
  showError("");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch {
    showError(strings.noMicrophone);
    return;
  }
  const pieces = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const began = performance.now();
  const clock = () => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    const bar = find("gg-sending-bar");
    bar.value = seconds / strings.maxRecording;
    find("gg-sending-text").textContent = strings.recording;
    find("gg-sending-stop").textContent = `${strings.stop} (${time})`;
    if (seconds >= strings.maxRecording) recorder?.stop();
  };
  recorder.onstop = () => {
    clearInterval(timer);
    for (const track of stream.getTracks()) track.stop();
    const type = recorder.mimeType;
    recorder = null;
    endSending();
    send(new File(pieces, strings.recordingName, { type }));
  };
  recorder.start(1000);
  showProgress(strings.recording, 0, strings.stop, () => recorder?.stop());
  clock();
  const timer = setInterval(clock, 500);
});

// ---- Results

let seen = "";

// Scroll to the verdict, and give it the keyboard focus.
function showVerdict(waited) {
  const genre = find("gg-genre");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (waited || focusIsLost()) genre?.focus({ preventScroll: true });
  genre?.closest(".gg-verdict").scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

// Whether the element that had the focus is gone.
function focusIsLost() {
  return !document.activeElement || document.activeElement === document.body;
}

new MutationObserver(() => {
  const { state, turn: shown } = find("gg-state")?.dataset ?? {};
  if (seen === `${shown} ${state}`) return;
  seen = `${shown} ${state}`;
  if (Number(shown) !== turn || !turn) return;
  const waited = focusIsLost() || find("gg-sending").contains(document.activeElement);
  form.toggleAttribute("data-working", state === "working");
  endWaiting();
  showError("");
  if (state === "done") setTimeout(() => showVerdict(waited), 50); // the verdict is rendered at the same moment
  if (state === "failed" && focusIsLost()) find("gg-file").focus();
}).observe(page, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-state", "data-turn"] });

page.addEventListener("click", (event) => {
  if (event.target.closest("[data-cancel]")) trigger("cancel");
  const segment = event.target.closest("[data-play]");
  if (segment) playFrom(Number(segment.dataset.play));
  const mel = event.target.closest(".gg-mel");
  if (mel) {
    const line = mel.closest(".gg-line").dataset;
    const box = mel.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    playFrom(Number(line.start) + share * (Number(line.end) - Number(line.start)));
  }
});

async function playFrom(seconds) {
  const audio = find("gg-audio");
  if (!song || audio.error) return;
  if (audio.readyState === 0) await new Promise((ready) => audio.addEventListener("loadedmetadata", ready, { once: true }));
  audio.currentTime = seconds;
  await audio.play().catch(() => {});
}

function follow() {
  const audio = find("gg-audio");
  const line = page.querySelector(".gg-line");
  if (!line || !audio) return;
  const now = audio.currentTime;
  const share = (now - line.dataset.start) / (line.dataset.end - line.dataset.start);
  line.style.setProperty("--head", String(share));
  line.classList.toggle("gg-has-head", Boolean(song) && share >= 0 && share <= 1 && now > 0);
  for (const button of line.querySelectorAll("[data-play]")) {
    const playing = !audio.paused && now >= button.dataset.play && now < button.dataset.until;
    button.classList.toggle("gg-playing", playing);
  }
  if (!audio.paused) requestAnimationFrame(follow);
}

document.addEventListener("play", follow, true);
document.addEventListener("pause", follow, true);
document.addEventListener("seeked", follow, true);
document.addEventListener("error", (event) => {
  if (event.target.id !== "gg-audio" || !song) return;
  page.classList.add("gg-soundless");
  find("gg-unplayable").hidden = false;
}, true);
// A recording does not say how long it is until it has been read to the end.
document.addEventListener("loadedmetadata", (event) => {
  const audio = event.target;
  if (audio.id !== "gg-audio" || Number.isFinite(audio.duration)) return;
  audio.currentTime = Number.MAX_SAFE_INTEGER;
  audio.addEventListener("timeupdate", () => { audio.currentTime = 0; }, { once: true });
}, true);
