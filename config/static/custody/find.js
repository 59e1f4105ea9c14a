// The box has the focus when the page comes, with what was looked for chosen: one types on.
(() => {
  const box = document.querySelector("#find-form input[name=q]");
  if (box && !document.querySelector(".c-find-hit")) {
    box.focus();
    box.select();
  }
})();
