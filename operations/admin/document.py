"""A signed document as sections of a page: facts, tables, sentences. Never raw JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from operations.admin.show import Fact, digest, when_text
from operations.certificates.layout import label, shown

LONGEST_TABLE = 200
"""Rows of a table that the page shows; the whole of it is in the PDF and the JSON."""


@dataclass(frozen=True)
class Section:
    title: str
    facts: tuple[Fact, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str | SafeString, ...], ...] = ()
    numeric: tuple[bool, ...] = ()
    sentences: tuple[str, ...] = ()
    left_out: int = 0
    """Rows of the table that are not shown."""


def sections(body: dict[str, Any], *, title: str = "What was certified") -> list[Section]:
    """`body` in its order: plain values first, then each list and each object on its own."""
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


def cell(key: str, value: object) -> str | SafeString:
    if isinstance(value, str):
        if len(value) == 64 and "sha256" in key:
            return digest(value)
        if not value:
            return "none"
        return when_text(value) if len(value) < 40 else value
    return shown(key, value)


def _table(title: str, items: list[dict[str, Any]]) -> Section:
    columns = list(dict.fromkeys(key for item in items for key in item))
    return Section(
        title,
        head=tuple(label(key) for key in columns),
        rows=tuple(
            tuple(cell(key, item.get(key)) for key in columns) for item in items[:LONGEST_TABLE]
        ),
        numeric=tuple(isinstance(items[0].get(key), int) for key in columns),
        left_out=max(len(items) - LONGEST_TABLE, 0),
    )
