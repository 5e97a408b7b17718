// Runs once, when the form is there. Given by Gradio: `element`, the form's place, and `trigger`, which asks the server.
const words = JSON.parse(element.querySelector("[data-script]").dataset.script);
const find = (id) => document.getElementById(id);
const page = element.closest(".gradio-container") ?? document.body;
const form = element.querySelector(".gg-ask");
let song = null; // object URL of the visitor's own file
let sending = null; // XMLHttpRequest under way
let recorder = null;
let turn = 0; // how often something was asked: tells one answer from the next that reads the same
let patience = 0; // timer

document.documentElement.lang = document.querySelector("meta[name=genregenie-locale]").content;

// ---- What is asked

function busy() {
  return sending !== null || find("gg-state")?.dataset.state === "working" || form.hasAttribute("data-asked");
}

function fail(sentence) {
  const error = find("gg-local-error");
  error.textContent = sentence;
  error.hidden = !sentence;
}

function take(file) {
  if (song) URL.revokeObjectURL(song);
  song = file ? URL.createObjectURL(file) : null;
  const audio = find("gg-audio");
  page.classList.toggle("gg-soundless", !song);
  find("gg-unplayable").hidden = true;
  if (song) audio.src = song;
  else audio.removeAttribute("src");
  audio.load();
}

function ask(what) {
  turn += 1;
  form.setAttribute("data-asked", "");
  show(words.waiting, null, words.cancel, () => trigger("cancel"));
  trigger("hear", { ...what, turn });
  patience = setTimeout(() => {
    answered();
    fail(words.lost);
  }, 60_000);
}

function answered() {
  clearTimeout(patience);
  form.removeAttribute("data-asked");
  over();
}

function send(file) {
  if (!file || busy()) return;
  fail("");
  if (file.size > words.maxBytes) {
    fail(words.tooLarge);
    return;
  }
  take(file);
  show(words.sending, 0, words.cancel, () => sending?.abort());
  sending = new XMLHttpRequest();
  sending.open("POST", `song?name=${encodeURIComponent(file.name)}`);
  sending.setRequestHeader("Content-Type", "application/octet-stream");
  sending.upload.onprogress = (event) => show(words.sending, event.lengthComputable ? event.loaded / event.total : null);
  sending.onload = () => {
    const answer = reading(sending.responseText);
    if (sending.status === 200) {
      sending = null;
      ask({ song: answer.song });
    } else {
      over();
      fail(answer.error ?? words.lost);
    }
  };
  sending.onerror = () => {
    over();
    fail(words.lost);
  };
  sending.onabort = over;
  sending.send(file);
}

function reading(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function over() {
  const focused = find("gg-sending").contains(document.activeElement);
  sending = null;
  find("gg-sending").hidden = true;
  form.removeAttribute("data-sending");
  if (focused) (document.querySelector("[data-cancel]") ?? find("gg-file")).focus();
}

function show(text, share, label, stop) {
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
  fail("");
  take(null);
  ask({ link });
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
  fail("");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch {
    fail(words.noMicrophone);
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
    bar.value = seconds / words.maxRecording;
    find("gg-sending-text").textContent = words.recording;
    find("gg-sending-stop").textContent = `${words.stop} (${time})`;
    if (seconds >= words.maxRecording) recorder?.stop();
  };
  recorder.onstop = () => {
    clearInterval(timer);
    for (const track of stream.getTracks()) track.stop();
    const type = recorder.mimeType;
    recorder = null;
    over();
    send(new File(pieces, words.recordingName, { type }));
  };
  recorder.start(1000);
  show(words.recording, 0, words.stop, () => recorder?.stop());
  clock();
  const timer = setInterval(clock, 500);
});

// ---- What is answered

let seen = "";

// Lead eyes and keyboard to the verdict.
function greet(waited) {
  const genre = find("gg-genre");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (waited || lost()) genre?.focus({ preventScroll: true });
  genre?.closest(".gg-verdict").scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

// Whether the element that had the keyboard is gone.
function lost() {
  return !document.activeElement || document.activeElement === document.body;
}

new MutationObserver(() => {
  const { state, turn: told } = find("gg-state")?.dataset ?? {};
  if (seen === `${told} ${state}`) return;
  seen = `${told} ${state}`;
  if (Number(told) !== turn || !turn) return;
  const waited = lost() || find("gg-sending").contains(document.activeElement);
  form.toggleAttribute("data-working", state === "working");
  answered();
  fail("");
  if (state === "done") setTimeout(() => greet(waited), 50); // the verdict is drawn in the same moment
  if (state === "failed" && lost()) find("gg-file").focus();
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
  line.classList.toggle("gg-heard", Boolean(song) && share >= 0 && share <= 1 && now > 0);
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
// What a recorder makes does not say how long it is until it has been read to its end.
document.addEventListener("loadedmetadata", (event) => {
  const audio = event.target;
  if (audio.id !== "gg-audio" || Number.isFinite(audio.duration)) return;
  audio.currentTime = Number.MAX_SAFE_INTEGER;
  audio.addEventListener("timeupdate", () => { audio.currentTime = 0; }, { once: true });
}, true);
