"""What `retention/preview.html` draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from operations.admin.show import NOTHING, Fact, duration, size, when
from retention.preview_presenting import (
    OUTCOMES,
    along,
    bytes_amount,
    how_known,
    moment_text,
)
from retention.selectors.preview_amounts import Amount
from retention.selectors.preview_dependents import Dependent
from retention.selectors.preview_result import PolicyPreview
from retention.selectors.preview_tally import Counts, Kind

_TONES: dict[Kind, str] = {
    "due": "bad",
    "kept": "good",
    "undecided": "good",
    "held": "warn",
    "referenced": "info",
    "bound": "info",
}
_ALWAYS = ("past", "due")
"""Kinds that are told also when there are none."""
_LEAST = 0.5
"""Percent of the bar that a kind takes at least, so that it is seen."""


@dataclass(frozen=True)
class Line:
    """One kind of row in the table, and in the bar above it."""

    title: str
    amount: str
    between: str
    hint: str
    tone: str
    percent: float | None
    """Of the rows of the table; None when it has no place in the bar."""
    cases: list[tuple[str, str, str]]
    """Who holds how many of them, and what that lies between."""


def preview_context(preview: PolicyPreview) -> dict[str, Any]:
    """Everything but what is only shown in passing."""
    counts = preview.counts
    samples = preview.samples
    return {
        "preview": preview,
        "how_known": how_known(preview),
        "figures": _figures(preview, counts) if counts else [],
        "lines": _lines(preview, counts) if counts else [],
        "dependents": [_dependent(each) for each in preview.dependents],
        "index_statements": [sql for each in preview.unindexed for sql in each.index],
        "samples": samples,
        "sample_title": _sample_title(preview),
        "facts": _facts(preview),
    }


def _figures(preview: PolicyPreview, counts: Counts) -> list[Fact]:
    due, held, past = counts["due"], counts.get("held"), counts.get("past")
    at_most = "at most " if preview.at_most else ""
    stays = _difference(past, due) if past else None
    return [
        Fact("Due now", f"{at_most}{due.about}", due.between or _share(due, counts)),
        Fact("Past their term, and kept", stays.about if stays else NOTHING, _of_them(counts)),
        Fact("Held", held.about if held else NOTHING, _cases(counts)),
        Fact("Rows of the table", counts.total.about, size(preview.table_bytes)),
    ]


def _difference(past: Amount, due: Amount) -> Amount:
    value = max(past.value - due.value, 0)
    if not past.estimated and not due.estimated:
        return Amount(value, value, value)
    return Amount(value, max(past.low - due.high, 0), max(past.high - due.low, 0))


def _share(due: Amount, counts: Counts) -> str:
    total = counts.total.value
    return f"{due.value / total:.1%} of the table" if total else ""


def _of_them(counts: Counts) -> str:
    words = (
        ("kept", "by the condition"),
        ("undecided", "unknown"),
        ("referenced", "referred to"),
        ("bound", "with what hangs on them"),
    )
    told = [
        f"{amount.about} {word}"
        for kind, word in words
        if (amount := counts.get(kind)) is not None and amount.value  # type: ignore[arg-type]
    ]
    return ", ".join(told)


def _cases(counts: Counts) -> str:
    cases = len(counts.held_by)
    return f"by {cases} case{'' if cases == 1 else 's'}" if cases else "nobody holds any"


def _lines(preview: PolicyPreview, counts: Counts) -> list[Line]:
    found = []
    for kind, title, hint in OUTCOMES:
        amount = counts.get(kind)
        if amount is None or (not amount.high and kind not in _ALWAYS):
            continue
        at_most = "at most " if kind == "due" and preview.at_most else ""
        tone = _TONES.get(kind, "")
        found.append(
            Line(
                title=title,
                amount=f"{at_most}{amount.about}",
                between=amount.between,
                hint=hint,
                tone=tone,
                percent=_percent(amount, counts.total) if tone and amount.value else None,
                cases=_by_case(counts) if kind == "held" else [],
            )
        )
    return found


def _by_case(counts: Counts) -> list[tuple[str, str, str]]:
    return [(by, amount.about, amount.between) for by, amount in counts.held_by]


def _percent(amount: Amount, total: Amount) -> float:
    share = 100 * amount.value / max(total.value, amount.value, 1)
    return round(max(share, _LEAST), 2)


def _dependent(each: Dependent) -> dict[str, Any]:
    return {
        "table": str(each.key.table),
        "key": each.key.name,
        "references": str(each.key.references),
        "indirect": each.depth > 1,
        "words": along(each),
        "tone": {"goes along": "danger", "refused": "warning"}.get(each.action, ""),
        "badge": {"goes along": "Goes along", "refused": "Refused"}.get(each.action, "Keeps"),
        "rows": each.rows.about if each.rows else "not counted in time",
        "between": each.rows.between if each.rows else "",
        "indexed": not each.index,
    }


def _sample_title(preview: PolicyPreview) -> str:
    if preview.at_most:
        return "Some rows that are neither kept nor held"
    return "Some due rows"


def _facts(preview: PolicyPreview) -> list[Fact]:
    counts = preview.counts
    facts = [Fact("Older than", when(preview.cutoff, empty="never: rows are kept for ever"))]
    if counts is not None and counts.ages.oldest:
        oldest, newest = moment_text(counts.ages.oldest), moment_text(counts.ages.newest)
        of_sample = "of the rows in the sample" if counts.method == "sampled" else ""
        facts += [Fact("Oldest due", oldest, of_sample), Fact("Newest due", newest, of_sample)]
    if preview.due is not None and preview.due.high:
        facts += _costs(preview)
    if preview.walk is not None:
        walked = "by pages of the table" if preview.walk["by"] == "ctid" else "by key"
        facts.append(Fact("Walked", walked, preview.walk["reason"]))
    return facts


def _costs(preview: PolicyPreview) -> list[Fact]:
    facts = [
        Fact(
            "Becomes reusable",
            bytes_amount(preview.space.reusable),
            "for new rows of the table; nothing is returned to the system by deleting",
        )
    ]
    if preview.space.archive is not None:
        archive = bytes_amount(preview.space.archive)
        facts.append(Fact("The archive takes", archive, "compressed, as earlier ones were"))
    if preview.duration is not None:
        seconds = preview.duration.seconds
        took = "under a second" if seconds < 1 else f"about {duration(seconds)}"
        facts.append(Fact("Takes", took, f"at {preview.duration.basis}"))
    return facts
