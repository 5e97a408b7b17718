"use strict";

// The page's behaviour. The server renders everything that is shown of a song; this sends songs, follows how they get on,
// and plays them. It is loaded with `defer`: the page is complete when it runs.
(() => {
  const find = (id) => document.getElementById(id);
  const page = document.querySelector(".gg-page");
  const form = document.querySelector(".gg-form");
  const strings = JSON.parse(form.dataset.script);

  const POLL_MS = 1_000;
  const PATIENCE_MS = 90_000; // how long a server that does not answer is waited for
  const MOST_TRIES = 5; // how often one song is sent again
  const IDLE = '<div class="gg-status" id="gg-state" data-state="idle" aria-live="polite"></div>';

  const songs = []; // those of this visit, in the order of their arrival
  let active = null; // the song that is being sent or classified
  let shown = null; // the song whose votes are shown: the player holds it
  let recorder = null;
  let turn = 0; // number of the request: tells one result from the next that looks the same

  // ---- What is shown

  function showError(sentence) {
    const error = find("gg-local-error");
    error.textContent = sentence;
    error.hidden = !sentence;
  }

  function showProgress(text, share, label, stop) {
    const bar = find("gg-sending-bar");
    if (find("gg-sending-text").textContent !== text) find("gg-sending-text").textContent = text;
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
    if (stop) {
      const button = find("gg-sending-stop");
      button.textContent = label;
      button.onclick = stop;
      find("gg-sending").hidden = false;
      if (!form.hasAttribute("data-sending")) button.focus();
      form.setAttribute("data-sending", "");
    }
  }

  function hideProgress() {
    const focused = find("gg-sending").contains(document.activeElement);
    find("gg-sending").hidden = true;
    form.removeAttribute("data-sending");
    if (focused) (document.querySelector("[data-cancel]") ?? find("gg-file")).focus();
  }

  // Put HTML of our server into the page. Positions and colours come as data: no style is allowed in the markup itself.
  function fill(place, html) {
    place.innerHTML = html;
    for (const one of place.querySelectorAll("[data-style]")) one.style.cssText = one.dataset.style;
  }

  // Replace the progress line, or only its words and its bar where that is all that has changed: a button that has the
  // keyboard focus keeps it.
  function showStatus(html) {
    const fresh = document.createElement("div");
    fill(fresh, html);
    const [now, next] = [find("gg-state"), fresh.firstElementChild];
    if (now?.dataset.state === "working" && next.dataset.state === "working" && now.dataset.turn === next.dataset.turn) {
      const [words, bar] = [next.querySelector("p"), next.querySelector("progress")];
      if (now.querySelector("p").textContent !== words.textContent) now.querySelector("p").textContent = words.textContent;
      if (bar.hasAttribute("value")) now.querySelector("progress").value = bar.value;
      else now.querySelector("progress").removeAttribute("value");
    } else {
      find("gg-status").replaceChildren(next);
    }
  }

  // The verdict of a song, with the song itself in the player.
  function showAnswer(song, { verdict, details }) {
    fill(find("gg-verdict"), verdict);
    fill(find("gg-details"), details);
    page.classList.remove("gg-earlier");
    if (shown === song) return;
    if (shown?.sound) URL.revokeObjectURL(shown.sound);
    if (shown) shown.sound = null;
    shown = song;
    song.sound = song.file ? URL.createObjectURL(song.file) : null;
    const audio = find("gg-audio");
    page.classList.toggle("gg-soundless", !song.sound);
    find("gg-unplayable").hidden = true;
    if (song.sound) audio.src = song.sound;
    else audio.removeAttribute("src");
    audio.load();
    showAddress(song);
  }

  // The songs of this visit, once there are several: what became of each, and a way back to it.
  function showSongs() {
    const list = find("gg-songs");
    list.hidden = songs.length < 2;
    list.replaceChildren(...songs.map((song) => {
      const [item, button, name, outcome] = ["li", "button", "b", "span"].map((tag) => document.createElement(tag));
      name.textContent = song.name;
      outcome.textContent = song.outcome;
      button.type = "button";
      button.disabled = song.state !== "done";
      if (song === shown && song.state === "done") button.setAttribute("aria-current", "true");
      button.onclick = () => choose(song);
      button.append(name, outcome);
      item.append(button);
      return item;
    }));
  }

  async function choose(song) {
    if (active || song === shown) return;
    try {
      const response = await fetch(`jobs/${song.job}?silent=${song.file ? 0 : 1}`);
      if (response.status === 401) location.assign("login");
      const answer = await response.json();
      if (active) return;
      if (answer.verdict) showAnswer(song, answer);
      else if (answer.state === "unknown") begin(song);
      showSongs();
    } catch {
      showError(strings.lost);
    }
  }

  // Keep what is shown in the address, so that it is there again after a reload, in the other language, and on Back.
  function showAddress(song) {
    const query = song?.job ? `?song=${song.job}` : "";
    history.replaceState(null, "", location.pathname + query);
    for (const link of page.querySelectorAll("nav a")) link.search = query;
  }

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

  // ---- A song, from the visitor to its verdict

  // Take songs in; they are classified one after the other.
  function add(...added) {
    for (const song of added) songs.push(Object.assign(song, { state: "waiting", outcome: strings.inLine }));
    next();
  }

  function next() {
    const song = songs.find((one) => one.state === "waiting");
    if (song && !active && !recorder) begin(song);
    else showSongs();
  }

  function begin(song) {
    turn += 1;
    active = Object.assign(song, { turn, tries: 0, verdicts: 0, state: "", lostAt: 0, cancelled: false, job: null });
    song.outcome = strings.inHand;
    showError("");
    showSongs();
    showStatus(IDLE);
    page.classList.add("gg-earlier");
    submit(song);
  }

  function submit(song) {
    if (song.file) send(song);
    else start(song, { link: song.link });
  }

  // The song is answered, failed or given up; `sentence` says why where the server has not.
  function end(song, sentence = "") {
    if (song !== active) return;
    active = null;
    song.stream?.close();
    clearTimeout(song.timer);
    form.removeAttribute("data-submitted");
    form.removeAttribute("data-working");
    page.classList.remove("gg-earlier");
    hideProgress();
    showError(sentence);
    showAddress(shown);
    if (song.state !== "done") {
      song.state = "failed";
      song.outcome = sentence || document.querySelector("#gg-status .gg-error")?.textContent || strings.cancelled;
    }
    next();
  }

  function cancel() {
    const song = active;
    if (!song) return;
    song.cancelled = true;
    song.upload?.abort();
    if (song.job) post(`jobs/${song.job}/cancel`).catch(() => {});
    if (!song.job || song.lostAt) end(song);
  }

  // The server cannot be reached: try again for a while. It may be starting anew.
  function lost(song, again) {
    if (song !== active || song.cancelled) return;
    song.lostAt ||= performance.now();
    const waited = performance.now() - song.lostAt;
    if (waited > PATIENCE_MS) {
      end(song, strings.lost);
      return;
    }
    form.setAttribute("data-submitted", "");
    showStatus(IDLE);
    showProgress(strings.again, null, strings.cancel, cancel);
    song.timer = setTimeout(() => song === active && again(), Math.min(5_000, POLL_MS + waited / 4));
  }

  // The server does not know the song any more: it was started anew, or has not been asked for too long.
  function resend(song) {
    song.tries += 1;
    song.job = null;
    song.verdicts = 0;
    if (song.tries > MOST_TRIES || !(song.file || song.link)) {
      end(song, song.file || song.link ? strings.lost : "");
      return;
    }
    lost(song, () => submit(song));
  }

  function post(path, body = {}) {
    return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }

  // What a response means for a song; true if it is as it should be.
  async function accepted(response, song) {
    if (response.status === 401) location.assign("login");
    else if (!response.ok) end(song, (await response.json().catch(() => ({}))).error ?? strings.lost);
    return response.ok && song === active;
  }

  function send(song) {
    const upload = (song.upload = new XMLHttpRequest());
    showProgress(strings.sending, 0, strings.cancel, cancel);
    upload.open("POST", `song?name=${encodeURIComponent(song.file.name)}`);
    upload.setRequestHeader("Content-Type", "application/octet-stream");
    upload.upload.onprogress = (event) => {
      if (song === active) showProgress(strings.sending, event.lengthComputable ? event.loaded / event.total : null);
    };
    upload.onload = async () => {
      song.upload = null;
      song.lostAt = 0;
      const response = new Response(upload.response, { status: upload.status });
      if (await accepted(response, song)) start(song, await response.json());
    };
    upload.onerror = () => {
      song.upload = null;
      lost(song, () => send(song));
    };
    upload.send(song.file);
  }

  async function start(song, request) {
    form.setAttribute("data-submitted", "");
    showProgress(strings.waiting, null, strings.cancel, cancel);
    let response;
    try {
      response = await post("jobs", { ...request, turn: song.turn });
    } catch {
      lost(song, () => submit(song));
      return;
    }
    if (response.ok && song.cancelled) post(`jobs/${(await response.json()).job}/cancel`).catch(() => {});
    else if (await accepted(response, song)) await started(song, response);
  }

  async function started(song, response) {
    song.lostAt = 0;
    song.job = (await response.json()).job;
    showAddress(song);
    follow(song);
  }

  function follow(song) {
    const stream = (song.stream = new EventSource(`jobs/${song.job}/events?silent=${song.file ? 0 : 1}`));
    stream.onmessage = (event) => update(song, JSON.parse(event.data));
    stream.onerror = () => {
      stream.close();
      if (song === active) poll(song);
    };
  }

  // The way to go on where no stream is to be had: it broke, or the visitor's other tabs have theirs.
  async function poll(song) {
    let answer;
    try {
      const response = await fetch(`jobs/${song.job}?silent=${song.file ? 0 : 1}&have=${song.verdicts}`);
      if (response.status >= 500) throw new Error("not now");
      if (!(await accepted(response, song))) return;
      answer = await response.json();
    } catch {
      lost(song, () => poll(song));
      return;
    }
    if (song !== active) return;
    song.lostAt = 0;
    update(song, answer);
    if (song === active && song.job) song.timer = setTimeout(() => song === active && poll(song), POLL_MS);
  }

  function update(song, answer) {
    if (song !== active) return;
    if (answer.state === "unknown" || (answer.code === "not-found" && song.file)) {
      song.stream?.close();
      resend(song);
      return;
    }
    const waited = focusIsLost() || find("gg-sending").contains(document.activeElement);
    const isNew = song.state !== answer.state;
    song.state = answer.state;
    showStatus(answer.status);
    song.verdicts = answer.verdicts;
    if (answer.verdict) showAnswer(song, answer);
    form.toggleAttribute("data-working", answer.state === "working");
    form.removeAttribute("data-submitted");
    if (isNew || !find("gg-sending").hidden) hideProgress();
    if (answer.state === "working") return;
    if (answer.state === "done") song.outcome = answer.headline;
    end(song);
    if (active) return;
    if (answer.state === "done") showVerdict(waited);
    else if (focusIsLost()) find("gg-file").focus();
  }

  // ---- Where songs come from

  function take(files) {
    if (recorder || !files.length) return;
    const fitting = [...files].filter((file) => file.size <= strings.maxBytes).slice(0, strings.maxSongs);
    add(...fitting.map((file) => ({ file, name: file.name })));
    if (fitting.length < files.length) showError(strings.tooLarge);
  }

  find("gg-file").addEventListener("change", (event) => {
    take([...event.target.files]);
    event.target.value = ""; // so that the same file can be chosen again
  });

  find("gg-link-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const link = find("gg-link").value.trim();
    if (link && !active && !recorder) add({ link, name: link });
    else find("gg-link").focus();
  });

  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.stopPropagation();
      form.toggleAttribute("data-over", kind === "dragover" && !active);
      if (kind === "drop") take(event.dataTransfer.files);
    }, true);
  }

  find("gg-record").addEventListener("click", async () => {
    if (active || recorder) return;
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
      showProgress(strings.recording, seconds / strings.maxRecording);
      find("gg-sending-stop").textContent = `${strings.stop} (${time})`;
      if (seconds >= strings.maxRecording) recorder?.stop();
    };
    recorder.onstop = () => {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      const type = recorder.mimeType;
      recorder = null;
      hideProgress();
      take([new File(pieces, strings.recordingName, { type })]);
    };
    recorder.start(1000);
    showProgress(strings.recording, 0, strings.stop, () => recorder?.stop());
    clock();
    const timer = setInterval(clock, 500);
  });

  // ---- Playing

  page.addEventListener("click", (event) => {
    if (event.target.closest("[data-cancel]")) cancel();
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
    if (!shown?.sound || audio.error) return;
    if (audio.readyState === 0) await new Promise((ready) => audio.addEventListener("loadedmetadata", ready, { once: true }));
    audio.currentTime = seconds;
    await audio.play().catch(() => {});
  }

  function followSound() {
    const audio = find("gg-audio");
    const line = page.querySelector(".gg-line");
    if (!line || !audio) return;
    const now = audio.currentTime;
    const share = (now - line.dataset.start) / (line.dataset.end - line.dataset.start);
    line.style.setProperty("--head", String(share));
    line.classList.toggle("gg-has-head", Boolean(shown?.sound) && share >= 0 && share <= 1 && now > 0);
    for (const button of line.querySelectorAll("[data-play]")) {
      const playing = !audio.paused && now >= button.dataset.play && now < button.dataset.until;
      button.classList.toggle("gg-playing", playing);
    }
    if (!audio.paused) requestAnimationFrame(followSound);
  }

  for (const kind of ["play", "pause", "seeked"]) find("gg-audio").addEventListener(kind, followSound);
  find("gg-audio").addEventListener("error", () => {
    if (!shown?.sound) return;
    page.classList.add("gg-soundless");
    find("gg-unplayable").hidden = false;
  });
  // A recording does not say how long it is until it has been read to the end.
  find("gg-audio").addEventListener("loadedmetadata", (event) => {
    const audio = event.target;
    if (Number.isFinite(audio.duration)) return;
    audio.currentTime = Number.MAX_SAFE_INTEGER;
    audio.addEventListener("timeupdate", () => { audio.currentTime = 0; }, { once: true });
  });

  // ---- What was shown before a reload, or in another language

  const kept = new URLSearchParams(location.search).get("song");
  if (kept && /^[\w-]{1,64}$/.test(kept)) {
    turn += 1;
    active = { job: kept, turn, name: "", tries: 0, verdicts: 0, state: "", lostAt: 0 };
    poll(active);
  }
})();
