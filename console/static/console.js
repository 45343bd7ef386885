// What saves navigation. Every page works without it.
"use strict";
(() => {
  document.documentElement.classList.add("js");
  const say = (words) => { const el = document.getElementById("said"); if (el) el.textContent = words; };

  // load asks for a page as a browser would, and returns it, or null where only
  // a real navigation helps.
  async function load(url, body) {
    const options = { headers: { Accept: "text/html" }, credentials: "same-origin", cache: "no-store" };
    if (body) { options.method = "POST"; options.body = body; }
    const response = await fetch(url, options);
    if (response.redirected || !(response.headers.get("Content-Type") || "").startsWith("text/html")) return null;
    return new DOMParser().parseFromString(await response.text(), "text/html");
  }

  function select(el) {
    const range = document.createRange();
    range.selectNodeContents(el);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    el.focus();
  }

  // copy puts a value into the clipboard or, where that is not allowed, selects it.
  async function copy(el, button) {
    let words = "Copied";
    try {
      await navigator.clipboard.writeText(el.textContent);
    } catch {
      select(el);
      words = "Selected: press Ctrl+C or ⌘C";
    }
    say(words);
    if (!button) return words;
    const before = button.textContent;
    button.textContent = words === "Copied" ? words : "Selected";
    setTimeout(() => { button.textContent = before; }, 2000);
    return words;
  }

  function note(id) {
    fetch("/settings/integrations/copied", { method: "POST", body: new URLSearchParams({ id }), redirect: "manual" });
  }

  function show(panel) {
    const dialog = document.createElement("dialog");
    const title = panel.querySelector("h1");
    title.id = "dialog-title";
    dialog.setAttribute("aria-labelledby", title.id);
    dialog.append(panel);
    dialog.addEventListener("close", () => { dialog.remove(); });
    document.getElementById("main").append(dialog);
    dialog.showModal();
  }

  async function swap(form, submitter) {
    const body = new URLSearchParams(new FormData(form, submitter));
    const page = await load(form.action, body);
    const ids = form.dataset.swap.split(" ");
    const panel = page && page.querySelector("main .panel");
    if (panel) { show(panel); return; } // the password, or an error
    if (!page || !ids.every((id) => page.getElementById(id))) { location.reload(); return; }
    for (const id of ids) {
      const next = page.getElementById(id);
      document.getElementById(id).replaceWith(next);
    }
    const first = document.getElementById(ids[0]);
    const value = first.querySelector(".secret");
    const verdict = first.querySelector("#verdict");
    if (value && submitter && submitter.name === "copy") {
      await copy(value, first.querySelector("[data-copy]"));
    } else if (value) {
      value.focus();
      say("The value is shown.");
    } else if (verdict) {
      verdict.tabIndex = -1;
      verdict.focus();
    }
  }

  document.addEventListener("click", async (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const copier = event.target.closest("[data-copy]");
    if (copier) {
      await copy(document.getElementById(copier.dataset.copy), copier);
      if (copier.dataset.id) note(copier.dataset.id);
      return;
    }
    const closer = event.target.closest("dialog [data-close]");
    if (closer) {
      event.preventDefault();
      closer.closest("dialog").close();
      return;
    }
    const opener = event.target.closest("a[data-dialog]");
    if (!opener || !window.HTMLDialogElement) return;
    event.preventDefault();
    try {
      const page = await load(opener.href);
      const panel = page && page.querySelector("main .panel");
      if (panel) show(panel); else location.assign(opener.href);
    } catch {
      location.assign(opener.href);
    }
  });

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.dataset.sent) { event.preventDefault(); return; }
    if (form.dataset.once !== undefined) {
      form.dataset.sent = "1";
      return;
    }
    if (!form.dataset.swap) return;
    event.preventDefault();
    form.dataset.sent = "1";
    try {
      await swap(form, event.submitter);
    } catch {
      form.submit();
    } finally {
      delete form.dataset.sent;
    }
  });

  // A page that comes back by the Back button must not show what it had.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
