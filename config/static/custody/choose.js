"use strict";
// A list whose rows are chosen by checkboxes: all at once, and nothing to do without any.
document.addEventListener("DOMContentLoaded", () => {
    const all = document.querySelector("[data-choose-all]");
    const button = document.querySelector("[data-choose-some]");
    const rows = [...document.querySelectorAll("input[name=row]")];
    if (!all || !button) return;
    const count = () => rows.filter((row) => row.checked).length;
    const show = () => {
        all.checked = rows.length > 0 && count() === rows.length;
        all.indeterminate = count() > 0 && !all.checked;
        button.disabled = count() === 0;
    };
    all.hidden = false;
    all.addEventListener("change", () => {
        rows.forEach((row) => { row.checked = all.checked; });
        show();
    });
    rows.forEach((row) => row.addEventListener("change", show));
    show();
});
