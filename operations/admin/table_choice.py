"""Which table? What templates/custody/tables.html shows: those whose names have what is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.http import HttpRequest

from operations.admin.table_words import table_words
from operations.catalogue.types import Table, TableName

T = TypeVar("T")
MOST_TABLES = 200
"""Tables that the page shows at once."""


def table_choice(
    request: HttpRequest,
    tables: Iterable[T],
    *,
    name: Callable[[T], TableName],
    line: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """The page's context.

    Args:
        tables: all there are to choose from.
        line: how one is shown; only asked of those that are.
    """
    wanted = request.GET.get("q", "").strip()
    found = [each for each in tables if wanted.lower() in str(name(each)).lower()]
    return {
        "wanted": wanted,
        "tables": [line(each) for each in found[:MOST_TABLES]],
        "left_out": max(len(found) - MOST_TABLES, 0),
    }


def table_line(table: Table, *, note: str, url: str) -> dict[str, str]:
    """A table of the page; without `url` the note says why it cannot be chosen."""
    return {
        "name": str(table.name),
        "kind": table.kind if table.kind != "table" else "",
        "size": table_words(table),
        "note": note,
        "url": url,
    }
