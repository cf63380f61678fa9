// What the pages do beyond htmx. Everything works without it.
"use strict";

// "/" goes to the search box, as in many programs; Escape leaves it.
document.addEventListener("keydown", (e) => {
  const box = document.getElementById("q");
  const typing = /^(input|textarea|select)$/i.test(e.target.tagName);
  if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && !e.altKey && box) {
    e.preventDefault();
    box.focus();
    box.select();
  } else if (e.key === "Escape" && e.target === box) {
    box.blur();
  }
});

// A button that copies the text of another element.
document.addEventListener("click", async (e) => {
  const button = e.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).innerText;
  const was = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed by the browser";
  }
  setTimeout(() => { button.textContent = was; }, 2000);
});

// A file dropped on a form is handed in with it, as it is.
const form = (e) => e.target.closest?.("form[data-drop]");
const files = (e) => e.dataTransfer?.types.includes("Files");
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (e) => {
    if (!form(e) || !files(e)) return;
    e.preventDefault();
    form(e).classList.add("drop");
  });
}
document.addEventListener("dragleave", (e) => form(e)?.classList.remove("drop"));
document.addEventListener("drop", (e) => {
  const to = form(e);
  if (!to || !e.dataTransfer?.files.length) return;
  e.preventDefault();
  to.classList.remove("drop");
  to.querySelector("input[type=file]").files = e.dataTransfer.files;
  to.requestSubmit();
});
