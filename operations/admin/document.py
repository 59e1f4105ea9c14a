"""A signed document as sections of a page: facts, tables, sentences. Never raw JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from operations.admin.show import Fact, digest, number, when_text
from operations.certificates.layout import label, shown

LONGEST_TABLE = 200
"""Rows of a table that the page shows; the whole of it is in the PDF and the JSON."""

# PostgreSQL keeps a document's keys by their length, which says nothing to a reader.
_FIRST = (
    "number", "file", "name", "disposition", "outcome", "table", "tables", "rows", "cutoff", "term",
    "age_column", "keep_while", "legal_basis", "policy", "kept_past_their_term", "requested_by",
    "approved_by", "reason", "started_at", "finished_at", "run", "bytes",
)  # fmt: skip
_LAST = ("copies_that_remain", "archive", "parts")
_NAMED_BY_NUMBER = ("id", "run", "version", "policy_version", "year")


@dataclass(frozen=True)
class Section:
    title: str
    facts: tuple[Fact, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str | SafeString, ...], ...] = ()
    sentences: tuple[str, ...] = ()
    left_out: int = 0
    """Rows of the table that are not shown."""


def sections(body: dict[str, Any], *, title: str = "What was certified") -> list[Section]:
    """Plain values first, then each list and each object on its own, long lists last."""
    body = {key: body[key] for key in sorted(body, key=_place)}
    plain = {k: v for k, v in body.items() if not isinstance(v, dict | list)}
    found = []
    if plain:
        found.append(Section(title, facts=tuple(Fact(label(k), cell(k, plain[k])) for k in plain)))
    for key, value in body.items():
        match value:
            case dict() if value:
                found += sections(value, title=label(key))
            case [dict(), *_]:
                found.append(_table(label(key), value))
            case list() if value:
                found.append(Section(label(key), sentences=tuple(shown(key, x) for x in value)))
    return found


def _place(key: str) -> tuple[int, int, str]:
    if key in _FIRST:
        return (0, _FIRST.index(key), key)
    return (2, _LAST.index(key), key) if key in _LAST else (1, 0, key)


def cell(key: str, value: object) -> str | SafeString:
    if isinstance(value, int) and not isinstance(value, bool) and key not in _NAMED_BY_NUMBER:
        return number(value)
    if isinstance(value, str):
        if key == "file":
            return format_html('<code title="{}">{}</code>', value, value.rpartition("/")[2])
        if len(value) == 64 and "sha256" in key:
            return digest(value)
        if not value:
            return "none"
        return when_text(value) if len(value) < 40 else value
    return shown(key, value)


def _table(title: str, items: list[dict[str, Any]]) -> Section:
    columns = sorted({key for item in items for key in item}, key=_place)
    return Section(
        title,
        head=tuple(label(key) for key in columns),
        rows=tuple(
            tuple(cell(key, item.get(key)) for key in columns) for item in items[:LONGEST_TABLE]
        ),
        left_out=max(len(items) - LONGEST_TABLE, 0),
    )
