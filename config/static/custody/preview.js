// The page of a preview shows at once; what takes seconds is fetched and put into its place.
// Without this script a link on the page leads to the whole of it.
"use strict";

class Preview {
    constructor(place) {
        this.place = place;
        this.said = place.querySelector("[data-preview-said]");
        this.again = place.querySelector("[data-preview-again]");
        this.wait = place.querySelector(".c-preview-wait");
        this.waiting = this.said.textContent;
        this.again.addEventListener("click", () => this.look());
        this.look();
    }

    async look() {
        this.show(this.waiting, true);
        let html;
        try {
            const response = await fetch(this.place.dataset.preview, { redirect: "manual" });
            if (response.type === "opaqueredirect") {
                return this.show("You are signed out. Load the page again to sign in.", false);
            }
            if (!response.ok) throw new Error(String(response.status));
            html = await response.text();
        } catch (error) {
            return this.show("The console does not answer. Nothing was changed.", false);
        }
        this.place.innerHTML = html;
        this.place.removeAttribute("aria-busy");
        if (typeof showCopyButtons === "function") showCopyButtons();
    }

    show(text, busy) {
        this.said.textContent = text;
        this.wait.hidden = !busy;
        this.again.hidden = busy;
        this.place.setAttribute("aria-busy", String(busy));
    }
}

for (const place of document.querySelectorAll("[data-preview]")) new Preview(place);
