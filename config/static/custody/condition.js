// A condition in a form: lines come and go at once, each offers what fits its column, and the
// server says, at the address in the form's data-say, what all of it means.
"use strict";

const WITHOUT_VALUE = new Set(["is null", "is not null", "is true", "is false", "is not true", "is not false"]);
const LISTS = new Set(["in", "not in"]);
const PAUSE = 300; // Milliseconds without a key before the server is asked.

function setUp(box) {
    const prefix = box.dataset.condition;
    const form = box.closest("form");
    const groups = box.querySelector("[data-groups]");
    const copy = (name) => box.querySelector(name).content.cloneNode(true).firstElementChild;
    let waiting = 0;
    let asking = null;

    const all = (root, selector) => [...root.querySelectorAll(selector)];
    const part = (line, key) => line.querySelector(`[data-key="${key}"]`);

    function number() {
        const found = all(groups, "[data-group]");
        box.classList.toggle("c-one-group", found.length === 1);
        found.forEach((group, g) => {
            group.querySelector("[data-number]").textContent = g + 1;
            group.querySelector("[data-more]").value = g;
            const lines = all(group, "[data-line]");
            // One line has a NOT of its own.
            group.classList.toggle("c-one-line", lines.length === 1);
            if (lines.length === 1) group.querySelector('.c-group-head [data-key="not"]').checked = false;
            for (const each of all(group.querySelector(".c-group-head"), "[data-key]")) each.name = `${prefix}-${g}-${each.dataset.key}`;
            lines.forEach((line, n) => {
                line.setAttribute("aria-label", `Group ${g + 1}, line ${n + 1}`);
                line.dataset.place = `${g}-${n}`;
                line.querySelector("[data-problem]").id = `${prefix}-${g}-${n}-problem`;
                line.setAttribute("aria-describedby", `${prefix}-${g}-${n}-problem`);
                line.querySelector("[data-less]").value = `${g}-${n}`;
                for (const each of all(line, "[data-key]")) each.name = `${prefix}-${g}-${n}-${each.dataset.key}`;
            });
        });
    }

    function offer(select, fits) {
        for (const option of select.options) option.hidden = option.disabled = !fits(option);
        if (select.selectedOptions[0]?.disabled) select.value = [...select.options].find((option) => !option.disabled).value;
    }

    function fit(line) {
        const kind = part(line, "column").selectedOptions[0]?.dataset.kind;
        const operator = part(line, "operator");
        offer(operator, (option) => !kind || option.dataset.kinds.split(" ").includes(kind));
        const list = LISTS.has(operator.value);
        for (const [which, value, unit] of [["first", "value", "unit"], ["second", "value2", "unit2"]]) {
            const units = part(line, unit);
            units.hidden = list || (kind !== "moment" && kind !== "");
            if (units.hidden) units.value = "";
            const text = part(line, value);
            text.hidden = units.value === "now";
            text.rows = list ? Math.min(Math.max(text.value.split("\n").length + 1, 3), 10) : 1;
            text.placeholder = list ? "one on each line" : kind === "moment" && !units.value ? "2030-12-31" : "";
            line.querySelector(`[data-operand="${which}"]`).hidden =
                WITHOUT_VALUE.has(operator.value) || (which === "second" && operator.value !== "between");
        }
    }

    function tell(element, text) {
        element.textContent = text;
        element.hidden = !text;
    }

    async function ask() {
        asking?.abort();
        asking = new AbortController();
        let answer;
        try {
            const response = await fetch(form.dataset.say, { method: "POST", body: new FormData(form), signal: asking.signal, redirect: "error" });
            if (!response.ok) return;
            answer = await response.json();
        } catch {
            return; // Asked again with the next key; the form itself says what is wrong.
        }
        for (const [name, text] of Object.entries(answer.said)) {
            for (const place of all(form, `[data-said="${name}"]`)) {
                if (place.textContent !== text) place.textContent = text;
                if (name !== "sql") place.hidden = !text;
            }
        }
        for (const line of all(groups, "[data-line]")) {
            // Nobody is told that a line is wrong while they still write it.
            if (!line.contains(document.activeElement)) tell(line.querySelector("[data-problem]"), answer.problems[line.dataset.place] || "");
        }
    }

    function soon() {
        clearTimeout(waiting);
        waiting = setTimeout(ask, PAUSE);
    }

    box.addEventListener("click", (event) => {
        const more = event.target.closest(`[name="${prefix}-more"]`);
        const less = event.target.closest("[data-less]");
        if (!more && !less) return;
        event.preventDefault();
        if (less) {
            const line = less.closest("[data-line]");
            const group = line.closest("[data-group]");
            const near = line.previousElementSibling || line.nextElementSibling;
            line.remove();
            if (!near) group.remove();
            if (!groups.firstElementChild) groups.append(copy("[data-blank-group]"));
            (near || groups.lastElementChild).querySelector('[data-key="column"]').focus();
        } else {
            const group = more.value === "group" ? copy("[data-blank-group]") : more.closest("[data-group]");
            if (more.value === "group") groups.append(group);
            else group.querySelector("[data-lines]").append(copy("[data-blank-line]"));
            group.querySelector("[data-lines]").lastElementChild.querySelector('[data-key="column"]').focus();
        }
        number();
        all(groups, "[data-line]").forEach(fit);
        soon();
    });
    form.addEventListener("input", (event) => {
        const line = event.target.closest("[data-line]");
        if (line) fit(line);
        soon();
    });
    box.addEventListener("focusout", soon);

    number();
    all(groups, "[data-line]").forEach(fit);
    soon();
}

document.querySelectorAll("[data-condition]").forEach(setUp);
