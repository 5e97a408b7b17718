"use strict";

// What the page and the page of a shared answer have in common. On the latter, whoever has shared it can take it back.
window.genregenie = (() => {
  const find = (id) => document.getElementById(id);
  const KEPT = "genregenie-shared";
  const MOST_KEPT = 50;

  // Positions and colours come as data: no style is allowed in the markup itself.
  function dress(place) {
    for (const one of place.querySelectorAll("[data-style]")) one.style.cssText = one.dataset.style;
  }

  // Small requests: what has no answer by then never gets one, since the connection is gone.
  const LONGEST_MS = 30_000;

  function get(path, options = {}) {
    return fetch(path, { signal: AbortSignal.timeout(LONGEST_MS), ...options });
  }

  function post(path, body = {}) {
    return get(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }

  // The secrets that take shared answers back, by the name in their address: those of this tab, and those that the
  // browser keeps. It may refuse to: then it can be done until the tab is closed.
  const own = {};

  function keptSecrets() {
    try {
      return JSON.parse(localStorage.getItem(KEPT)) ?? {};
    } catch {
      return {};
    }
  }

  function secretOf(token) {
    return own[token] ?? keptSecrets()[token];
  }

  // `secret` is null where there is nothing to take back any more. What is kept is read anew: it is all tabs' together.
  function keepSecret(token, secret) {
    const secrets = keptSecrets();
    for (const place of [secrets, own]) {
      delete place[token];
      if (secret) place[token] = secret;
    }
    try {
      localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(Object.entries(secrets).slice(-MOST_KEPT))));
    } catch { /* see above */ }
  }

  async function takeBack(path, token) {
    const response = await post(`${path}/end`, { secret: secretOf(token) });
    if (response.ok) keepSecret(token, null);
    return response;
  }

  dress(document);
  const mine = find("gg-mine");
  if (mine && secretOf(mine.dataset.token)) {
    find("gg-theirs").hidden = true;
    mine.hidden = false;
    find("gg-take-back").addEventListener("click", async () => {
      const response = await takeBack(location.pathname, mine.dataset.token).catch(() => null);
      if (response?.ok) {
        find("gg-card").remove();
        mine.textContent = mine.dataset.gone;
        return;
      }
      const { error } = (await response?.json().catch(() => null)) ?? {};
      find("gg-not-ended").textContent = error ?? mine.dataset.lost;
      find("gg-not-ended").hidden = false;
    });
  }
  return { dress, get, post, keepSecret, takeBack };
})();
