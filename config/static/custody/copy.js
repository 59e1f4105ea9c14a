// Buttons that put a whole hash on the clipboard. Without a clipboard they stay hidden.
"use strict";

function showCopyButtons() {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    const icon = button.querySelector("span");
    icon.textContent = "check";
    setTimeout(() => { icon.textContent = "content_copy"; }, 1500);
});

showCopyButtons();
