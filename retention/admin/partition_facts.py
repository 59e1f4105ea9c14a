"""Partitions that a purge drops whole, and room that it gives back, on the page of its run."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from operations.admin.show import Fact, code, number, size

_SHOWN = 40


def planned_partitions(plan: dict[str, Any]) -> list[Fact]:
    """What an approver has to know of them: which go, and what follows."""
    facts = []
    if whole := plan.get("partitions_dropped"):
        label = "Partitions that are dropped whole"
        facts.append(
            Fact(label, _folded(whole, opened=True), plan.get("partitions_afterwards", ""))
        )
    if left := plan.get("partitions_by_batches"):
        lines = [(each["table"], each["why"]) for each in left]
        facts.append(Fact("Expired, and purged by batches", _lines(lines)))
    return facts


def returned_space(result: dict[str, Any]) -> list[Fact]:
    """Room that is the operating system's again, apart from room inside the table."""
    facts = []
    if dropped := result.get("partitions_dropped"):
        facts.append(Fact("Partitions dropped", _folded(dropped, opened=False)))
    space = result.get("space") or {}
    if space.get("returned_bytes"):
        returned = size(space["returned_bytes"])
        facts.append(Fact("Returned to the system", returned, "files that were dropped"))
    if space.get("reusable_bytes"):
        hint = "in the table's files, for new rows of it, once VACUUM was there"
        facts.append(Fact("Reusable", f"about {size(space['reusable_bytes'])}", hint))
    if space.get("hint"):
        command = code(space["vacuum_command"]) if space["vacuum"] == "due" else "by autovacuum"
        facts.append(Fact("VACUUM", command, space["hint"]))
    return facts


def _amount(each: dict[str, Any]) -> str:
    about = "about " if "until" in each else ""
    rows = f"{about}{number(each['rows'])}" if each["rows"] is not None else "an unknown number of"
    return f"{rows} rows, {size(each['bytes'])}"


def _folded(parts: list[dict[str, Any]], *, opened: bool) -> SafeString:
    """Their sum; unfolded, each of them."""
    known = [each["rows"] for each in parts if each["rows"] is not None]
    total = {**parts[0], "rows": sum(known), "bytes": sum(each["bytes"] for each in parts)}
    return format_html(
        "<details{}><summary>{} partition{}, {}</summary>{}</details>",
        SafeString(" open") if opened else "",
        number(len(parts)),
        "" if len(parts) == 1 else "s",
        _amount(total),
        _lines([(each["table"], _amount(each)) for each in parts]),
    )


def _lines(lines: list[tuple[str, str]]) -> SafeString:
    """Tables, and beneath each what there is to say."""
    more = len(lines) - _SHOWN
    return format_html(
        "{}{}",
        format_html_join(
            "", '<div class="c-lines"><code>{}</code><small>{}</small></div>', lines[:_SHOWN]
        ),
        format_html("<small>and {} more</small>", number(more)) if more > 0 else "",
    )
