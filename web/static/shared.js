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

  function post(path, body = {}) {
    return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }

  // The secrets that take shared answers back, by the name in their address. A browser may refuse to keep them: then it
  // can be done until the tab is closed.
  const secrets = {};
  try {
    Object.assign(secrets, JSON.parse(localStorage.getItem(KEPT) ?? "{}"));
  } catch { /* there are none */ }

  function keepSecret(token, secret) {
    if (secret) secrets[token] = secret;
    else delete secrets[token];
    try {
      localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(Object.entries(secrets).slice(-MOST_KEPT))));
    } catch { /* see above */ }
  }

  async function takeBack(path, token) {
    const response = await post(`${path}/end`, { secret: secrets[token] });
    if (response.ok) keepSecret(token, null);
    return response.ok;
  }

  dress(document);
  const mine = find("gg-mine");
  if (mine && secrets[mine.dataset.token]) {
    find("gg-theirs").hidden = true;
    mine.hidden = false;
    find("gg-take-back").addEventListener("click", async () => {
      if (await takeBack(location.pathname, mine.dataset.token).catch(() => false)) {
        find("gg-card").remove();
        mine.textContent = mine.dataset.gone;
      }
    });
  }
  return { dress, post, keepSecret, takeBack };
})();
