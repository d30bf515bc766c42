// Small comforts. Every page works without this file.
"use strict";

for (const preview of document.querySelectorAll("[data-address-preview]")) {
  const input = document.getElementById(preview.dataset.addressPreview);
  const show = () => { preview.textContent = input.value.trim().toLowerCase() || "…"; };
  input.addEventListener("input", show);
  show();
}

for (const all of document.querySelectorAll("[data-select-all]")) {
  const scope = all.form ?? document;
  const boxes = [...scope.querySelectorAll("input[type=checkbox]")].filter((box) => box.name === all.dataset.selectAll);
  const show = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  };
  all.closest("[hidden]")?.removeAttribute("hidden");
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
  for (const box of boxes) box.addEventListener("change", show);
  show();
}

// A page in progress draws its main part again until an answer comes that does not ask for more.
function refreshLater() {
  const main = document.querySelector("main[data-refresh-seconds]");
  if (!main) return;
  setTimeout(async () => {
    try {
      const headers = { Accept: "text/html", "Portico-Unattended": "1" };  // keeps nobody signed in
      const answer = await fetch(location.href, { headers });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = answer.ok && !answer.redirected && page.querySelector("main");
      if (!fresh) return location.reload();
      main.replaceWith(document.adoptNode(fresh));
      document.title = page.title;
    } catch {
      // No connection just now: ask again later.
    }
    refreshLater();
  }, Number(main.dataset.refreshSeconds) * 1000);
}
refreshLater();
