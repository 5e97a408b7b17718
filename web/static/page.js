"use strict";

// The page's behaviour. The server renders everything that is shown of a song; this sends songs, follows how they get on,
// and plays them. It is loaded with `defer`, after shared.js: the page is complete when it runs.
(() => {
  const { dress, get, post, keepSecret, takeBack } = window.genregenie;
  const find = (id) => document.getElementById(id);
  const page = document.querySelector("main");
  const form = document.querySelector(".gg-form");

  const strings = JSON.parse(form.dataset.script);

  const POLL_MS = 1_000;
  const PATIENCE_MS = 90_000; // how long a server that does not answer is waited for
  const SILENCE_MS = 35_000; // the server says something every twelve seconds: its stream is gone
  const CANCEL_MS = 2_000; // how long the server has for saying that a song is cancelled
  const UPLOAD_MS = 930_000; // half a minute more than the server has for an upload
  const MOST_TRIES = 5; // how often one song is sent again
  const MOST_WAIT_S = 900; // how long a song waits, in all, for a server that has too much to do
  const WAIT_S = 5; // for one that does not say for how long
  const IDLE = '<div class="gg-status" id="gg-state" data-state="idle"></div>';

  const songs = []; // those of this visit, in the order of their arrival
  let active = null; // the song that is being sent or classified
  let shown = null; // the song whose votes are shown: the player holds it
  let recorder = null;
  let leftOut = ""; // what is said of files that were not taken, until something else is asked
  let asking = false; // whether the browser asks the visitor for the microphone
  let turn = 0; // number of the request: tells one result from the next that looks the same

  // ---- What is shown

  function showError(sentence, place = "gg-local-error") {
    const error = find(place);
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

  // Put HTML of our server into the page.
  function fill(place, html) {
    place.innerHTML = html;
    dress(place);
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
  function showAnswer(song, { verdict, details, sound, link }) {
    fill(find("gg-verdict"), verdict);
    fill(find("gg-details"), details);
    showShareLink();
    page.classList.remove("gg-earlier");
    song.link ??= link;
    if (shown === song && (song.file ? song.sound : song.sound === sound)) return;
    const audio = find("gg-audio");
    const [time, plays] = shown === song ? [audio.currentTime, !audio.paused] : [0, false];
    if (shown?.sound?.startsWith("blob:")) URL.revokeObjectURL(shown.sound);
    if (shown) shown.sound = null;
    shown = song;
    song.sound = song.file ? URL.createObjectURL(song.file) : sound;
    page.classList.toggle("gg-soundless", !song.sound);
    find("gg-unplayable").hidden = true;
    find("gg-gone").hidden = Boolean(song.sound);
    find("gg-gone").textContent = song.link ? strings.goneLink : strings.goneFile;
    audio.preload = song.file ? "metadata" : "none"; // a link's sound is fetched when somebody wants to hear it
    if (song.sound) audio.src = song.sound;
    else audio.removeAttribute("src");
    audio.load();
    audio.currentTime = time;
    if (plays && song.sound) audio.play().catch(() => {});
    showAddress(song);
  }

  function showShareLink() {
    const field = find("gg-share-link");
    if (field?.dataset.path) field.value = location.origin + field.dataset.path;
  }

  // The songs of this visit, once there are several: what became of each, and a way back to it.
  function showSongs() {
    const list = find("gg-songs");
    list.hidden = songs.length < 2;
    const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
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
    if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
    keepSongs();
  }

  // The answers of this tab, so that a reload and the other language find them again.
  function keepSongs() {
    try {
      const kept = songs.filter((song) => song.job && song.state === "done");
      sessionStorage.setItem("genregenie-songs", JSON.stringify(kept.map(({ job, name, link, outcome }) => ({ job, name, link, outcome }))));
    } catch { /* then only the one in the address is found */ }
  }

  function keptSongs() {
    try {
      const kept = JSON.parse(sessionStorage.getItem("genregenie-songs") ?? "[]");
      return kept.filter(({ job, name }) => /^[\w-]{1,64}$/.test(job) && typeof name === "string");
    } catch {
      return [];
    }
  }

  async function choose(song) {
    if (active || recorder || song === shown) return;
    try {
      const response = await get(`jobs/${song.job}?silent=${song.file ? 0 : 1}`);
      const answer = response.ok ? await response.json() : null;
      const failure = response.ok ? "" : await failureOf(response);
      if (active || recorder) return;
      showError(failure || leftOut);
      if (failure) return;
      if (answer.verdict) showAnswer(song, answer);
      else if (song.file || song.link) begin(song);
      else showError(strings.gone);
      showSongs();
      if (song === shown) showVerdict(false);
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

  // `part` is another part of a song that has an answer already: `{ start }`, `{ whole }`, or none for its main section.
  function begin(song, part = null) {
    turn += 1;
    const before = part ? { job: song.job, outcome: song.outcome } : null;
    const of = part ? song.job : null;
    active = Object.assign(song, { turn, tries: 0, verdicts: 0, state: "", lostAt: 0, waited: 0, cancelled: false, job: null, sent: null, part, of, before });
    song.outcome = strings.inHand;
    if (part) leftOut = "";
    showError(leftOut);
    showSongs();
    showStatus(IDLE);
    page.classList.add("gg-earlier");
    submit(song);
  }

  function submit(song) {
    if (song.of) start(song, { of: song.of });
    else if (song.sent) start(song, song.sent);
    else if (song.file) send(song);
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
    if (find("gg-state").dataset.state === "working") showStatus(IDLE); // the server has not said that it is over
    showError(sentence || leftOut);
    if (song.state === "working" && song.verdicts) {
      song.state = "done"; // and without the other models'
    } else if (song.state !== "done" && song.before) {
      Object.assign(song, song.before, { state: "done" }); // what was answered before still stands
      if (sentence) showError(sentence);
    } else if (song.state !== "done") {
      song.state = "failed";
      if (!song.name) songs.splice(songs.indexOf(song), 1); // of an address that leads nowhere any more
      song.outcome = sentence || document.querySelector("#gg-status .gg-error")?.textContent || strings.cancelled;
    }
    showAddress(shown);
    next();
  }

  function cancel() {
    const song = active;
    if (!song) return;
    const asked = song.turn;
    song.cancelled = true;
    song.upload?.abort();
    if (song.job) post(`jobs/${song.job}/cancel`).catch(() => {});
    if (!song.job || song.lostAt) end(song);
    else setTimer(song, CANCEL_MS, () => {
      song.stream?.close();
      if (isInHand(song, asked)) poll(song);
    });
  }

  // Each song has one thing to wait for at a time.
  function setTimer(song, ms, act) {
    clearTimeout(song.timer);
    song.timer = setTimeout(act, ms);
  }

  // Whether a request for a song is the one in hand: it may have been given up meanwhile, and the song asked about anew.
  function isInHand(song, asked) {
    return song === active && song.turn === asked;
  }

  // The server cannot be reached: try again for a while. It may be starting anew.
  function lost(song, again) {
    if (song !== active) return;
    if (song.cancelled) { // and the server cannot say so
      end(song);
      return;
    }
    song.lostAt ||= performance.now();
    const waited = performance.now() - song.lostAt;
    if (waited > PATIENCE_MS) {
      end(song, strings.lost);
      return;
    }
    form.setAttribute("data-submitted", "");
    showStatus(IDLE);
    showProgress(strings.again, null, strings.cancel, cancel);
    setTimer(song, Math.min(5_000, POLL_MS + waited / 4), again);
  }

  // The server has too much to do, or this visitor has asked for too much: `again` once the answer says that it makes
  // sense. False where the answer says something else, or that would be too late.
  function later(song, answer, again) {
    const seconds = answer?.retry_after || WAIT_S;
    const isBusy = ["busy", "cooldown"].includes(answer?.code);
    if (!isBusy || song.cancelled || song.waited + seconds > MOST_WAIT_S) return false;
    song.waited += seconds;
    const until = performance.now() + 1_000 * seconds;
    const wait = () => {
      if (song !== active) return;
      const left = until - performance.now();
      if (left <= 0) {
        again();
        return;
      }
      showProgress(strings.later, 1 - left / (1_000 * seconds), strings.cancel, cancel);
      setTimer(song, Math.min(left, POLL_MS), wait);
    };
    form.setAttribute("data-submitted", "");
    showStatus(IDLE);
    wait();
    return true;
  }

  // The server does not know the song any more: it was started anew, or has not been asked for too long.
  function resend(song) {
    if (song.cancelled) {
      end(song);
      return;
    }
    song.tries += 1;
    song.job = song.sent = null;
    song.verdicts = 0;
    if (song.of && !(song.file || song.link)) {
      end(song, strings.gone);
      return;
    }
    song.of = null; // nothing is kept of it any more: it is sent again
    if (song.tries > MOST_TRIES || !(song.file || song.link)) {
      end(song, song.file || song.link ? strings.lost : strings.gone);
      return;
    }
    lost(song, () => submit(song));
  }

  // Read a response for a song; null if it is not as it should be, and then `again` or the song's end is seen to.
  async function read(response, song, again) {
    const asked = song.turn;
    if (response.status === 401) {
      location.assign("login");
      return null;
    }
    const answer = await response.json().catch(() => null);
    if (response.ok && answer) return answer;
    if (!isInHand(song, asked)) return null;
    // Not our server speaks but a reverse proxy, while ours is started anew, or one that is too full to say a word.
    if (response.ok || (response.status >= 500 && typeof answer?.error !== "string")) lost(song, again);
    else if (!later(song, answer, again)) end(song, answer?.error ?? strings.lost);
    return null;
  }

  async function send(song) {
    const asked = song.turn;
    showProgress(strings.sending, 0, strings.cancel, cancel);
    try {
      await song.file.slice(0, 1).arrayBuffer(); // sending a folder, or what has been moved, looks like a lost connection
    } catch {
      if (isInHand(song, asked)) end(song, strings.unreadable);
      return;
    }
    if (!isInHand(song, asked)) return;
    const upload = (song.upload = new XMLHttpRequest());
    upload.open("POST", `song?name=${encodeURIComponent(song.file.name)}`);
    upload.timeout = UPLOAD_MS;
    upload.setRequestHeader("Content-Type", "application/octet-stream");
    upload.upload.onprogress = (event) => {
      if (song === active) showProgress(strings.sending, event.lengthComputable ? event.loaded / event.total : null);
    };
    upload.onload = async () => {
      song.upload = null;
      const response = new Response(upload.response, { status: upload.status });
      const sent = await read(response, song, () => submit(song));
      if (!sent || !isInHand(song, asked)) return;
      song.lostAt = 0;
      song.sent = sent;
      start(song, sent);
    };
    upload.onerror = upload.ontimeout = () => {
      song.upload = null;
      lost(song, () => send(song));
    };
    upload.send(song.file);
  }

  async function start(song, request) {
    const asked = song.turn;
    form.setAttribute("data-submitted", "");
    showProgress(strings.waiting, null, strings.cancel, cancel);
    let response;
    try {
      response = await post("jobs", { ...request, ...song.part, turn: asked });
    } catch {
      if (isInHand(song, asked)) lost(song, () => submit(song));
      return;
    }
    const { job } = (await read(response, song, () => submit(song))) ?? {};
    if (!job) return;
    if (!isInHand(song, asked)) {
      post(`jobs/${job}/cancel`).catch(() => {}); // given up before the server had said its name
      return;
    }
    song.lostAt = 0;
    song.job = job;
    showAddress(song);
    follow(song);
  }

  function follow(song) {
    const asked = song.turn;
    const stream = (song.stream = new EventSource(`jobs/${song.job}/events?silent=${song.file ? 0 : 1}`));
    const giveUp = () => {
      stream.close();
      if (isInHand(song, asked)) poll(song);
    };
    const listen = () => {
      if (!song.cancelled) setTimer(song, SILENCE_MS, giveUp);
    };
    stream.onmessage = (event) => {
      if (!isInHand(song, asked)) return;
      listen();
      update(song, JSON.parse(event.data));
    };
    stream.onerror = giveUp;
    listen();
  }

  // The way to go on where no stream is to be had: it broke, or the visitor's other tabs have theirs.
  async function poll(song) {
    const asked = song.turn;
    clearTimeout(song.timer);
    let response;
    try {
      response = await get(`jobs/${song.job}?silent=${song.file ? 0 : 1}&have=${song.verdicts}`);
      if (response.status >= 500) throw new Error("not now");
    } catch {
      if (isInHand(song, asked)) lost(song, () => poll(song));
      return;
    }
    const answer = await read(response, song, () => poll(song));
    if (!answer || !isInHand(song, asked)) return;
    song.lostAt = 0;
    const job = song.job;
    update(song, answer);
    if (!isInHand(song, asked) || song.job !== job) return;
    if (song.cancelled) end(song); // the server has not heard of it, and ends what nobody asks about
    else setTimer(song, POLL_MS, () => poll(song));
  }

  function update(song, answer) {
    if (answer.state === "unknown" || (answer.code === "not-found" && (song.file || song.of))) {
      song.stream?.close();
      resend(song);
      return;
    }
    if (later(song, answer, () => submit(song))) {
      song.stream?.close();
      song.job = null;
      return;
    }
    const waited = focusIsLost() || find("gg-sending").contains(document.activeElement);
    const isNew = song.state !== answer.state;
    song.state = answer.state;
    showStatus(answer.status);
    song.verdicts = answer.verdicts;
    if (answer.verdict) {
      showAnswer(song, answer);
      Object.assign(song, { outcome: answer.headline, name: answer.name });
    }
    form.toggleAttribute("data-working", answer.state === "working");
    form.removeAttribute("data-submitted");
    if (isNew || !find("gg-sending").hidden) hideProgress();
    if (answer.state === "working") return;
    end(song);
    if (active) return;
    if (answer.state === "done") showVerdict(waited);
    else if (focusIsLost()) find("gg-file").focus();
  }

  // ---- Where songs come from

  function take(files) {
    if (recorder || !files.length) return;
    const fitting = [...files].filter((file) => file.size <= strings.maxBytes);
    const taken = fitting.slice(0, strings.maxSongs);
    const left = [fitting.length < files.length && strings.tooLarge, taken.length < fitting.length && strings.tooMany];
    leftOut = left.filter(Boolean).join(" ");
    add(...taken.map((file) => ({ file, name: file.name })));
    if (leftOut) showError(leftOut);
  }

  find("gg-file").addEventListener("change", (event) => {
    take([...event.target.files]);
    event.target.value = ""; // so that the same file can be chosen again
  });

  find("gg-link-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const link = find("gg-link").value.trim();
    if (link && !active && !recorder) {
      leftOut = "";
      add({ link, name: link });
    } else find("gg-link").focus();
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
    if (active || recorder || asking) return;
    showError("");
    asking = true;
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
    } catch {
      showError(strings.noMicrophone);
      return;
    } finally {
      asking = false;
    }
    // The visitor may have given another song while the browser asked for permission.
    if (active || !record(stream)) release(stream);
  });

  function release(stream) {
    for (const track of stream.getTracks()) track.stop();
  }

  // Record until the visitor stops it; false if that cannot begin.
  function record(stream) {
    const pieces = [];
    let own, meter;
    try {
      own = new MediaRecorder(stream);
      meter = levelMeter(stream);
      own.start(1000);
    } catch {
      meter?.close();
      showError(strings.noMicrophone);
      return false;
    }
    recorder = own;
    own.ondataavailable = (event) => pieces.push(event.data);
    let discarded = false;
    const began = performance.now();
    const stop = find("gg-sending-stop");
    const halt = () => own.state !== "inactive" && own.stop();
    const clock = () => {
      const seconds = Math.floor((performance.now() - began) / 1000);
      const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      const enough = performance.now() - began >= 1000 * strings.minRecording + 250; // a recorder starts late
      showProgress(enough ? (meter.quiet() ? strings.recordingQuiet : strings.recordingEnough) : strings.recordingShort, seconds / strings.maxRecording);
      stop.textContent = `${strings.stop} (${time})`;
      stop.setAttribute("aria-disabled", String(!enough));
      if (seconds >= strings.maxRecording) halt();
    };
    const finish = () => {
      clearInterval(timer);
      meter.close();
      release(stream);
      stop.removeAttribute("aria-disabled");
      hideProgress(); // first: it looks where the focus is
      find("gg-discard").hidden = find("gg-level-row").hidden = true;
    };
    own.onstop = () => {
      recorder = null;
      finish();
      if (discarded) next();
      else take([new File(pieces, strings.recordingName, { type: own.mimeType })]);
    };
    showProgress(strings.recordingShort, 0, strings.stop, () => {
      if (stop.getAttribute("aria-disabled") !== "true") halt();
    });
    find("gg-level-row").hidden = find("gg-discard").hidden = false;
    find("gg-discard").onclick = () => {
      discarded = true;
      halt();
    };
    clock();
    const timer = setInterval(clock, 250);
    return true;
  }

  // Show how loud the microphone is: nobody wants to learn from an answer that it was off.
  function levelMeter(stream) {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let loudest = 0;
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      loudest = Math.max(loudest, peak);
      // In decibels, as ears and other meters have it: 60 of them from nothing to full scale.
      find("gg-level").value = Math.max(0, 1 + Math.log10(Math.max(peak, 1e-6)) / 3);
    }, 60);
    return {
      quiet: () => loudest < 0.003,
      close: () => {
        clearInterval(timer);
        context.close();
      },
    };
  }

  if (strings.example) find("gg-example").hidden = false;
  find("gg-example").addEventListener("click", async () => {
    if (active || recorder) return;
    try {
      const response = await fetch(strings.example);
      if (!response.ok) throw new Error("not now");
      take([new File([await response.blob()], strings.exampleName, { type: "audio/ogg" })]);
    } catch {
      showError(strings.lost);
    }
  });

  // ---- What can be done with an answer

  // A time as people write it: seconds, 1:30 or 1:02:03; null where it is none.
  function secondsOf(text) {
    const parts = text.trim().split(":");
    if (!/^[\d:.,]+$/.test(text.trim()) || parts.length > 3 || parts.some((part) => part === "")) return null;
    const seconds = parts.reduce((sum, part) => 60 * sum + Number(part.replace(",", ".")), 0);
    return Number.isFinite(seconds) ? seconds : null;
  }

  function askFor(part) {
    if (shown && !active && !recorder) begin(shown, part);
  }

  // Say how something went, beside it: `words` is a sentence, or what a response says went wrong.
  function say(place, words) {
    place.closest("details").querySelector(".gg-said").textContent = words;
  }

  async function failureOf(response) {
    if (response.status === 401) location.assign("login");
    if (response.status === 404) return strings.gone;
    return (await response.json().catch(() => ({}))).error ?? strings.lost;
  }

  page.addEventListener("submit", async (event) => {
    const asked = event.target;
    if (asked.matches("[data-part]")) {
      event.preventDefault();
      const field = asked.elements.start;
      const start = secondsOf(field.value);
      const known = start !== null && start < Number(field.dataset.most);
      showError(known ? "" : strings.badTime, "gg-part-error"); // beside the field: the form is far above
      if (known) askFor({ start });
      else field.focus();
    } else if (asked.matches("[data-correct]")) {
      event.preventDefault();
      try {
        const response = await post(`jobs/${shown.job}/correction`, { genre: asked.elements.genre.value });
        say(asked, response.ok ? (await response.json()).text : await failureOf(response));
      } catch {
        say(asked, strings.lost);
      }
    }
  });

  async function share(button) {
    button.disabled = true; // one link is enough
    try {
      const response = await post(`jobs/${shown.job}/share`);
      if (!response.ok) {
        say(button, await failureOf(response));
        return;
      }
      const { token, secret, path } = await response.json();
      keepSecret(token, secret);
      find("gg-share-link").dataset.path = path;
      showShareLink();
      showShared(button, true);
      find("gg-share-link").focus();
      find("gg-share-link").select();
      say(button, "");
    } catch {
      say(button, strings.lost);
    } finally {
      button.disabled = false;
      if (focusIsLost()) button.focus();
    }
  }

  function showShared(button, isShared) {
    const panel = button.closest("details");
    panel.querySelector("[data-shared]").hidden = !isShared;
    panel.querySelector("[data-unshared]").hidden = isShared;
  }

  async function unshare(button) {
    const path = find("gg-share-link").dataset.path;
    try {
      const response = await takeBack(path, path.split("/").pop());
      if (!response.ok) {
        say(button, await failureOf(response));
        return;
      }
      showShared(button, false);
      say(button, strings.shareEnded);
      button.closest("details").querySelector("[data-share]").focus();
    } catch {
      say(button, strings.lost);
    }
  }

  async function copy(button) {
    const field = find("gg-share-link");
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      say(button, strings.copied);
    } catch { /* it is selected: the visitor can copy it */ }
  }

  // ---- Playing

  page.addEventListener("click", (event) => {
    if (event.target.closest("[data-cancel]")) cancel();
    if (event.target.closest("[data-whole]")) askFor({ whole: true });
    if (event.target.closest("[data-main]")) askFor({});
    for (const [name, act] of [["share", share], ["unshare", unshare], ["copy", copy]]) {
      const button = event.target.closest(`[data-${name}]`);
      if (button?.matches("button")) act(button);
    }
    const whole = event.target.closest(".gg-askable .gg-whole-bar");
    if (whole) {
      const box = whole.getBoundingClientRect();
      const most = Number(whole.parentElement.dataset.duration) - 30;
      askFor({ start: Math.round(Math.max(0, Math.min(most, ((event.clientX - box.left) / box.width) * (most + 30)))) });
    }
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
    const [song, sound] = [shown, audio.src];
    if (!song?.sound || audio.error) return;
    if (audio.readyState === 0) {
      const settled = new AbortController();
      const { signal } = settled;
      const known = new Promise((resolve) => {
        for (const kind of ["loadedmetadata", "error", "emptied"]) audio.addEventListener(kind, resolve, { signal });
      });
      audio.preload = "auto"; // a link's sound has not been asked for yet
      await known;
      settled.abort();
      if (song !== shown || sound !== audio.src || audio.readyState === 0) return; // another song is shown, or none plays
    }
    audio.currentTime = seconds;
    await audio.play().catch(() => {});
  }

  let frame = 0;

  function followSound() {
    cancelAnimationFrame(frame); // there is one at most, whatever has called
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
    const whole = page.querySelector(".gg-whole");
    whole?.style.setProperty("--head", String(now / whole.dataset.duration));
    whole?.classList.toggle("gg-has-head", Boolean(shown?.sound) && now > 0);
    if (!audio.paused) frame = requestAnimationFrame(followSound);
  }

  for (const kind of ["play", "pause", "seeked"]) find("gg-audio").addEventListener(kind, followSound);
  find("gg-audio").addEventListener("error", async () => {
    const [song, sound] = [shown, shown?.sound];
    if (!sound) return;
    page.classList.add("gg-soundless");
    const gone = !song.file && (await isGone(sound));
    if (song === shown && song.sound === sound) find(gone ? "gg-gone" : "gg-unplayable").hidden = false;
  });

  // Whether the server no longer has a link's song: a player does not tell that from what it cannot play.
  async function isGone(sound) {
    const response = await get(sound, { headers: { Range: "bytes=0-0" } }).catch(() => null);
    return response?.status === 404;
  }

  // A recording does not say how long it is until it has been read to the end.
  find("gg-audio").addEventListener("loadedmetadata", (event) => {
    const audio = event.target;
    if (Number.isFinite(audio.duration) || !shown?.file) return;
    audio.currentTime = Number.MAX_SAFE_INTEGER;
    audio.addEventListener("timeupdate", () => { audio.currentTime = 0; }, { once: true });
  });

  // ---- What was shown before a reload, or in another language

  const kept = new URLSearchParams(location.search).get("song");
  if (kept && /^[\w-]{1,64}$/.test(kept)) {
    for (const song of keptSongs()) songs.push({ ...song, state: "done", file: null });
    turn += 1;
    const known = songs.find((song) => song.job === kept);
    active = Object.assign(known ?? { job: kept, name: "" }, { turn, tries: 0, verdicts: 0, state: "", lostAt: 0, waited: 0, cancelled: false });
    if (!known) songs.push(active);
    poll(active);
  }
})();
