// The box has the focus when the page comes, with what was looked for chosen: one types on. Who has
// begun already, or is at something else, before this script came, is left alone.
(() => {
  const box = document.querySelector("#find-form input[name=q]");
  if (!box || document.querySelector(".c-find-hit")) return;
  if ([document.body, box].includes(document.activeElement) && box.value === box.defaultValue) {
    box.focus();
    box.select();
  }
})();
