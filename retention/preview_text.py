"""A preview on the command line."""

from __future__ import annotations

from rich.console import RenderableType

from operations.commands import text_table
from retention.presenting import bytes_text
from retention.preview_presenting import OUTCOMES, along, bytes_amount, how_known, moment_text
from retention.selectors.preview_amounts import Amount
from retention.selectors.preview_result import PolicyPreview

_KNOWN = ("past", "due")
"""Told also when there are none."""


def preview_text(preview: PolicyPreview) -> list[RenderableType]:
    """Lines and tables, the most important first."""
    version = f"version {preview.version}" if preview.version else "not in force"
    head = (
        f"{preview.policy}, {version}: {preview.table}, kept {_term(preview)}, "
        f"then {preview.disposition}"
    )
    lines: list[RenderableType] = [head]
    lines += [f"CAUTION: {caution.text}" for caution in preview.cautions]
    lines += [f"REFUSED: {refusal}" for refusal in preview.refusals]
    lines += list(preview.notes)
    if preview.counts is not None:
        lines += _counts(preview)
    lines += _dependents(preview)
    lines += _samples(preview)
    if preview.due is not None and preview.due.high:
        lines += _costs(preview)
    lines += [f"Remains: {copy}" for copy in preview.remains]
    return [*lines, f"Nothing was changed. This took {preview.took:.1f} s.", ""]


def _counts(preview: PolicyPreview) -> list[RenderableType]:
    counts = preview.counts
    assert counts is not None
    rows = []
    for kind, title, hint in OUTCOMES:
        amount = counts.get(kind)
        if amount is None or (not amount.high and kind not in _KNOWN):
            continue
        at_most = "at most " if kind == "due" and preview.at_most else ""
        rows.append([title, f"{at_most}{amount.about}", amount.between, hint])
    held = [[by, amount.about, amount.between] for by, amount in counts.held_by]
    size = f"The table has {counts.total.about} rows, {bytes_text(preview.table_bytes)}."
    found: list[RenderableType] = [
        text_table("rows", "", "", "", rows=rows, right=frozenset({1})),
        f"{how_known(preview)} {size}",
    ]
    if counts.ages.oldest:
        oldest, newest = moment_text(counts.ages.oldest), moment_text(counts.ages.newest)
        found.append(f"Due rows are dated {oldest} to {newest}.")
    if held:
        found.append(text_table("held by", "rows", "", rows=held, right=frozenset({1})))
    return found


def _dependents(preview: PolicyPreview) -> list[RenderableType]:
    if not preview.dependents:
        return []
    rows = [
        [
            str(each.key.table),
            each.key.name,
            along(each),
            _amount(each.rows),
            "" if not each.index else "no index",
        ]
        for each in preview.dependents
    ]
    table = text_table("refers to it", "by", "its rows", "rows", "", rows=rows)
    index = [statement for each in preview.unindexed for statement in each.index]
    if not index:
        return [table]
    return [table, "Without an index each deleted row is looked for by reading the table:", *index]


def _amount(amount: Amount | None) -> str:
    return "not counted in time" if amount is None else amount.about


def _samples(preview: PolicyPreview) -> list[RenderableType]:
    samples = preview.samples
    if samples is None:
        return []
    if not samples.rows:
        return [samples.problem] if samples.problem else []
    which = "Some due rows" if not preview.at_most else "Some rows that are neither kept nor held"
    which += ", of a sample" if samples.from_sample else ""
    more = f", {samples.more_columns} more columns" if samples.more_columns else ""
    rows = [[value if value is not None else "-" for value in row] for row in samples.rows]
    return [
        f"{which}; what looks personal is masked{more}:",
        text_table(*samples.columns, rows=rows),
    ]


def _costs(preview: PolicyPreview) -> list[RenderableType]:
    reusable = (
        f"Becomes reusable for new rows of the table: {bytes_amount(preview.space.reusable)}. "
        "Nothing is returned to the system by deleting."
    )
    found: list[RenderableType] = [reusable]
    if preview.space.archive is not None:
        found.append(f"The archive would take {bytes_amount(preview.space.archive)}.")
    if preview.duration is not None:
        seconds = preview.duration.seconds
        took = "under a second" if seconds < 1 else f"about {seconds:,.0f} s"
        found.append(f"Takes {took}, at {preview.duration.basis}.")
    return found


def _term(preview: PolicyPreview) -> str:
    return preview.term if preview.cutoff is None else f"for {preview.term}"
