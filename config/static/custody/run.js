// The page of a run follows it: each second it asks for the numbers and for the pieces of the page
// that a change of state changes. Without this script the page shows how things stood when it was
// opened.
"use strict";

class RunWatch {
    constructor(card) {
        this.card = card;
        this.url = card.dataset.runProgress;
        this.state = card.dataset.state;
        this.bar = card.querySelector("[role=progressbar]");
        this.announced = -1;
        this.failures = 0;
        this.shown = new Map();
        // The first page of the log is the one that grows.
        this.isLogFollowed = !new URLSearchParams(location.search).has("log");
        this.timer = setTimeout(() => this.tick(), 1000);
        document.addEventListener("visibilitychange", () => {
            if (!document.hidden) this.soon(0);
        });
    }

    soon(seconds) {
        clearTimeout(this.timer);
        if (!this.over) this.timer = setTimeout(() => this.tick(), seconds * 1000);
    }

    async tick() {
        // A page that nobody looks at asks nothing.
        if (document.hidden || this.over) return;
        let answer;
        try {
            const response = await fetch(this.url, {
                headers: { Accept: "application/json" }, redirect: "manual",
            });
            if (response.type === "opaqueredirect") return this.signedOut();
            if (!response.ok) throw new Error(String(response.status));
            answer = await response.json();
        } catch (error) {
            this.failures += 1;
            this.say("The console does not answer; trying again. What is shown may be old.");
            return this.soon(Math.min(2 ** this.failures, 30));
        }
        this.failures = 0;
        this.say("");
        this.show(answer);
        this.over = answer.ended;
        this.soon(answer.again_after);
    }

    show(answer) {
        const known = answer.percent !== null;
        this.bar.className = `c-bar c-bar-${answer.colour}` + (known || answer.ended ? "" : " c-bar-unknown");
        if (known) {
            this.bar.setAttribute("aria-valuenow", answer.percent);
            this.bar.firstElementChild.style.width = `${answer.percent}%`;
            this.card.querySelector("[data-percent]").textContent = `${answer.percent} %`;
        }
        for (const [name, html] of Object.entries(answer.regions)) this.replace(name, html);
        this.announce(answer);
        this.state = answer.state;
        this.card.dataset.state = answer.state;
    }

    replace(name, html) {
        if (this.shown.get(name) === html || (name === "log" && !this.isLogFollowed)) return;
        this.shown.set(name, html);
        const place = document.querySelector(`[data-region="${name}"]`);
        // What the page came with is not put there again: somebody may be pressing it just now.
        const answered = document.createElement("template");
        answered.innerHTML = html;
        if (answered.innerHTML.trim() === place.innerHTML.trim()) return;
        const focused = place.contains(document.activeElement) ? document.activeElement.href : null;
        place.innerHTML = html;
        if (focused) {
            const again = [...place.querySelectorAll("a")].find((a) => a.href === focused);
            if (again) again.focus();
        }
        if (typeof showCopyButtons === "function") showCopyButtons();
    }

    // Not every second: a change of state, and each tenth of the way.
    announce(answer) {
        const tenth = Math.floor((answer.percent ?? 0) / 10);
        if (answer.state === this.state && tenth === this.announced) return;
        this.announced = tenth;
        this.card.querySelector("[data-announce]").textContent = answer.summary;
    }

    say(text) {
        const place = this.card.querySelector("[data-offline]");
        place.textContent = text;
        place.hidden = !text;
    }

    signedOut() {
        this.over = true;
        this.say("You are signed out. Load the page again to sign in.");
    }
}

for (const card of document.querySelectorAll("[data-run-progress]")) new RunWatch(card);
