"""A preview in words, and as the facts that an approval binds."""

from __future__ import annotations

import re
from typing import Any

from retention.presenting import bytes_text
from retention.selectors.preview_amounts import Amount
from retention.selectors.preview_dependents import Dependent
from retention.selectors.preview_result import PolicyPreview
from retention.selectors.preview_tally import Kind

OUTCOMES: tuple[tuple[Kind, str, str], ...] = (
    ("past", "Past their term", "matched by the age alone"),
    ("kept", "Kept by the condition", "past their term, and the condition holds"),
    ("undecided", "Kept, condition unknown", "past their term, and the condition is NULL"),
    ("held", "Held", "past their term, not kept, and somebody holds them"),
    ("referenced", "Kept, still referred to", "past their term, and other rows refer to them"),
    ("bound", "Kept, with what hangs on them", "something that would go along is itself kept"),
    ("due", "Due", "what a purge would take now"),
    ("ageless", "Of unknown age", "kept: the age is NULL"),
    ("future", "Dated in the future", "kept: more than a day ahead"),
)  # fmt: skip
"""Each kind of row: its name in the facts, for people, and what it means."""


def how_known(preview: PolicyPreview) -> str:
    """Whether the numbers were counted, and if not, how sure they are."""
    counts = preview.counts
    if counts is None:
        return ""
    if counts.method == "counted" and preview.at_most:
        return "Counted; rows that others refer to could not be told from the due ones in time."
    if counts.method == "counted":
        return "Counted, every row."
    if counts.method == "sampled":
        return (
            f"Estimated from {counts.pages:,} pages of the table; the bounds hold for 99 of 100 "
            "such samples."
        )
    return "Guessed by PostgreSQL's planner from its statistics: there was no time to look."


def moment_text(text: str) -> str:
    """A moment as PostgreSQL prints it, without fractions of a second."""
    return re.sub(r"\.\d+", "", text)


def bytes_amount(amount: Amount | None) -> str:
    """`about 1.2 GiB, between 1.1 GiB and 1.3 GiB`."""
    if amount is None:
        return "not known"
    if not amount.estimated:
        return f"about {bytes_text(amount.value)}"
    low, high = bytes_text(amount.low), bytes_text(amount.high)
    return f"about {bytes_text(amount.value)}, between {low} and {high}"


def along(dependent: Dependent) -> str:
    """What happens to the rows that refer to due ones."""
    if dependent.action == "goes along":
        return "go along: archived and deleted first"
    if dependent.action == "keeps the row":
        return "keep the row they refer to"
    return f"refused: the delete would {dependent.key.on_delete} into them"


def preview_facts(preview: PolicyPreview) -> dict[str, Any]:
    """What an approver is shown and an approval binds: no rows, and nothing that only passes."""
    document = preview.to_json()
    for passing in ("samples", "took_seconds", "at"):
        del document[passing]
    document["cautions"] = [caution.text for caution in preview.cautions]
    return document


def facts_told(facts: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What `preview_facts` gave, for whoever decides: what, how much, and what that means."""
    told = [("A purge", "would be refused", refusal) for refusal in facts["refusals"]]
    counts = facts.get("counts") or {}
    told += [
        (title, f"{_most(facts, kind)}{_rows(counts[kind])}", hint)
        for kind, title, hint in OUTCOMES
        if kind in counts and (counts[kind]["high"] or kind == "due")
    ]
    told += [
        (f"Held by {case['by']}", _rows(case["rows"]), "") for case in facts.get("held_by") or ()
    ]
    for each in facts.get("dependents") or ():
        rows = _rows(each["rows"]) if each["rows"] else "not counted"
        told.append((each["table"], rows, f"{each['action']} ({each['foreign_key']})"))
    if facts.get("oldest"):
        dated = f"{moment_text(facts['oldest'])} to {moment_text(facts['newest'])}"
        told.append(("Due rows are dated", dated, ""))
    return [*told, *[("Remains", copy, "") for copy in facts.get("remains") or ()]]


def _most(facts: dict[str, Any], kind: Kind) -> str:
    return "at most " if kind == "due" and facts["due_at_most"] else ""


def _rows(amount: dict[str, Any]) -> str:
    rows = Amount(amount["value"], amount["low"], amount["high"])
    return f"{rows.about} rows{', ' if rows.estimated else ''}{rows.between}"
