"""Queries kept as files: one of `sql/` each."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from django.db import connections

Row = dict[str, Any]
_FOLDER = Path(__file__).parent / "sql"


@cache
def _statement(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def rows(name: str, parameters: dict[str, Any], *, using: str, folder: Path = _FOLDER) -> list[Row]:
    """The rows, by column name, of the query in `folder` named `name`."""
    with connections[using].cursor() as cursor:
        cursor.execute(_statement(folder / f"{name}.sql"), parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]
