// Passkeys: asks the server for a challenge, the device for an answer, and sends it as an ordinary form.
// Without this file, or where a browser knows no passkeys, their forms stay hidden: every other way in is there.
"use strict";

(() => {
  if (!window.PublicKeyCredential) return;

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list ?? []).map((each) => ({ ...each, id: bytes(each.id) }));

  function readable(options) {
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    if (options.allowCredentials) options.allowCredentials = named(options.allowCredentials);
    if (options.excludeCredentials) options.excludeCredentials = named(options.excludeCredentials);
    return options;
  }

  function sendable(credential) {
    const response = {};
    for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[part]) response[part] = text(credential.response[part]);
    }
    return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response });
  }

  async function answer(form) {
    const asked = await fetch(form.dataset.challengeUrl, { method: "POST", body: new FormData(form), redirect: "manual" });
    if (!asked.ok) return location.reload();  // signed out meanwhile, or the page is too old
    const publicKey = readable(await asked.json());
    const how = form.dataset.passkey === "create" ? "create" : "get";
    form.elements.answer.value = sendable(await navigator.credentials[how]({ publicKey }));
    form.submit();
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    for (const hidden of [form, form.closest("[data-passkey-part]")]) hidden?.removeAttribute("hidden");
    const failed = form.querySelector("[data-passkey-failed]");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      failed.hidden = true;
      try {
        await answer(form);
      } catch {
        failed.hidden = false;  // cancelled, or the device has none that fits
      }
    });
  }
  for (const without of document.querySelectorAll("[data-without-passkeys]")) without.hidden = true;
})();
