// A list that is narrowed while one types in the field above it.
"use strict";

for (const field of document.querySelectorAll("[data-narrows]")) {
    const name = field.dataset.narrows;
    const items = [...document.getElementById(name).children];
    const told = document.querySelector(`[data-narrowed="${name}"]`);
    const none = document.querySelector(`[data-none="${name}"]`);
    const narrow = () => {
        const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const item of items) item.hidden = !words.every((word) => item.dataset.text.includes(word));
        const left = items.filter((item) => !item.hidden).length;
        none.hidden = left > 0;
        told.textContent = `${left} found`;
    };
    field.addEventListener("input", narrow);
    // Somebody may have typed before this script came, or come back to a page with words in it.
    if (field.value !== field.defaultValue) narrow();
}
