// Says in time that a sign-in ends, and covers the page once it has. The server alone decides; this only asks it.
"use strict";

(() => {
  const dialog = document.querySelector("dialog.session-end");
  if (!dialog) return;
  const { url, holder } = dialog.dataset;
  const warnSeconds = Number(dialog.dataset.warnSeconds);
  const now = () => Date.now() / 1000;
  let shown = null, idleUntil = 0, mostUntil = 0, timer = 0;

  function note(idle, most) {
    idleUntil = now() + idle;
    mostUntil = now() + most;
  }

  function show(part) {
    if (shown === part) return;
    shown = part;
    dialog.classList.toggle("session-over", part === "over");
    if (dialog.open) dialog.close();  // opened anew, it is read out anew
    if (!part) return;
    for (const each of dialog.querySelectorAll("[data-part]")) {
      each.hidden = each.dataset.part !== part;
      each.querySelector("h2").id = each.hidden ? "" : "session-end-title";
      each.querySelector("p").id = each.hidden ? "" : "session-end-text";
    }
    dialog.showModal();
  }

  // What the server says: seconds left, or that nobody is signed in any more, or somebody else.
  async function ask(options) {
    let answer;
    try {
      answer = await fetch(url, { redirect: "manual", ...options });
    } catch {
      return plan();  // no connection just now
    }
    if (!answer.ok) return over();
    const left = await answer.json();
    if (left.holder !== holder) return location.reload();
    note(left.idle, left.most);
    plan();
  }

  const look = () => ask({ headers: { "Portico-Unattended": "1" } });

  function over() {
    note(0, 0);
    plan();
  }

  function plan() {
    const left = Math.min(idleUntil, mostUntil) - now();
    clearTimeout(timer);
    if (left <= 0) return show("over");  // looked after again when somebody comes back to this tab
    if (left > warnSeconds) {
      show(null);
      timer = setTimeout(look, (left - warnSeconds + 1) * 1000);
      return;
    }
    show(mostUntil <= idleUntil ? "most" : "idle");
    timer = setTimeout(look, Math.min(left + 1, 15) * 1000);  // another tab may have been used meanwhile
  }

  dialog.querySelector("form[method=post]").addEventListener("submit", (event) => {
    event.preventDefault();
    ask({ method: "POST", body: new FormData(event.target) });
  });
  // Closed by a key, a page that is over is covered again.
  dialog.addEventListener("close", () => { if (shown === "over" && !dialog.open) dialog.showModal(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  addEventListener("focus", look);

  note(Number(dialog.dataset.idleSeconds), Number(dialog.dataset.mostSeconds));
  plan();
})();
