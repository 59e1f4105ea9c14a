"""Versions and their values as pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from auditing.admin.record_links import record_link
from auditing.models import Operation
from auditing.selectors.images import ImageColumn, Shape
from auditing.selectors.pretty import is_document, pretty
from auditing.selectors.versions import ColumnDifference, Version
from operations.admin.word_diff import word_diff

SHORT = 60
"""Characters up to which two values stand side by side; longer ones are compared word by word."""
MOST = 20_000
"""Characters of a value that a page shows."""
IN_A_LIST = 200
"""Characters of a value that a list of versions shows."""
CONTEXT = 40
"""Characters around a change that such a list shows."""
_DID = {
    Operation.INSERT: "Added",
    Operation.UPDATE: "Changed",
    Operation.DELETE: "Deleted",
    Operation.TRUNCATE: "Deleted with the whole table",
    Operation.REKEY: "Got another key",
    Operation.BASELINE: "Found when the audit began",
    Operation.CARRIED: "Carried forward when older history went",
}


def did(version: Version) -> SafeString:
    """What was done: `Changed`, `Got another key: 17`."""
    tracked_words = _DID.get(version.operation, str(version.operation.label))
    if version.now is not None:
        return format_html("{}: now <code>{}</code>", tracked_words, version.now)
    if version.was is not None:
        return format_html("{}: its key was <code>{}</code>", tracked_words, version.was)
    return format_html("{}", tracked_words)


def version_name(version: Version) -> str:
    """`Version 3`, `Version 3, as signed`."""
    named = f", {version.note.name}" if version.note is not None and version.note.name else ""
    return f"Version {version.number}{named}"


def value(text: str | None, *, there: bool = True, most: int = MOST) -> SafeString:
    """A value in a cell."""
    if not there:
        return mark_safe('<span class="c-quiet">not there</span>')
    if text is None:
        return mark_safe('<span class="c-quiet">NULL</span>')
    if text == "":
        return mark_safe('<span class="c-quiet">empty</span>')
    return format_html("{}", _shortened(text, most))


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


@dataclass(frozen=True)
class ValueLine:
    name: str
    type: str
    shown: SafeString
    in_key: bool
    changed: bool


def value_lines(shape: Shape, version: Version, *, changed: bool = True) -> list[ValueLine]:
    """Every column of a version, in the table's order; dropped ones only where it has a value."""
    images = dict(version.values)
    documents = [c.attnum for c in shape.columns if is_document(c) and images.get(c.attnum)]
    laid_out = pretty([images[each] for each in documents], using=shape.using)
    images |= dict(zip(documents, laid_out, strict=True))
    return [
        ValueLine(
            _name(column),
            column.type,
            _kept_value(column, images, version),
            column.key_position is not None,
            changed and column.attnum in version.changed,
        )
        for column in shape.columns
        if is_listed(column, version)
    ]


def is_listed(column: ImageColumn, version: Version) -> bool:
    """Dropped columns only where the version has, or had, a value of them."""
    return (
        column.live is not None
        or column.attnum in version.values
        or column.attnum in version.redacted
    )


def _name(column: ImageColumn) -> str:
    return column.name if column.live is not None else f"{column.name} (dropped since)"


REDACTED = mark_safe('<span class="c-quiet">redacted: destroyed</span>')


def _kept_value(
    column: ImageColumn, images: Mapping[int, str | None], version: Version
) -> SafeString:
    if column.masked:
        return mark_safe('<span class="c-quiet">masked: not kept</span>')
    if column.attnum in version.redacted:
        return REDACTED
    return value(images.get(column.attnum), there=column.attnum in images)


@dataclass(frozen=True)
class DifferenceLine:
    name: str
    old: SafeString
    new: SafeString
    together: SafeString
    """Both as one text with the words marked, instead of `old` and `new`; empty for short ones."""


def difference_lines(
    shape: Shape, differences: list[ColumnDifference], *, most: int = MOST
) -> list[DifferenceLine]:
    documents = {c.attnum for c in shape.columns if is_document(c)}
    return [_difference(each, shape, each.attnum in documents, most) for each in differences]


def _difference(each: ColumnDifference, shape: Shape, is_json: bool, most: int) -> DifferenceLine:
    if each.masked:
        hidden = mark_safe('<span class="c-quiet">changed; masked</span>')
        return DifferenceLine(each.name, hidden, hidden, SafeString(""))
    old, new = each.old, each.new
    if old is not None and new is not None and max(len(old), len(new)) > SHORT:
        if most < MOST:
            old, new = around_change(old, new)
        elif is_json:
            old, new = (text or "" for text in pretty([old, new], using=shape.using))
        if max(len(old), len(new)) <= 2 * most:
            return DifferenceLine(each.name, SafeString(""), SafeString(""), word_diff(old, new))
    elif is_json and most == MOST:
        old, new = pretty([old, new], using=shape.using)
    return DifferenceLine(
        each.name,
        REDACTED if each.old_redacted else value(old, there=each.old_there, most=most),
        REDACTED if each.new_redacted else value(new, there=each.new_there, most=most),
        SafeString(""),
    )


def around_change(old: str, new: str) -> tuple[str, str]:
    """What lies between the first change and the last, with a little of what is around."""
    same = _common(old, new)
    left = max(same - CONTEXT, 0)
    rest_old, rest_new = old[same:], new[same:]
    tail = _common(rest_old[::-1], rest_new[::-1])
    right = max(tail - CONTEXT, 0)
    before, after = "…" if left else "", "…" if right else ""
    return (
        f"{before}{old[left : len(old) - right]}{after}",
        f"{before}{new[left : len(new) - right]}{after}",
    )


def _common(one: str, other: str) -> int:
    """Characters at the beginning that are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def other_record(tracked_id: int, version: Version) -> SafeString | None:
    """A link to the record that this one became, or was before."""
    other = version.now if version.now is not None else version.was
    return record_link(tracked_id, other) if other is not None else None
