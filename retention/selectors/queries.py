"""The statements in `sql/`, asked for by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from django.db import connections

Row = dict[str, Any]


@cache
def _statement(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def rows(name: str, parameters: dict[str, Any], *, using: str) -> list[Row]:
    with connections[using].cursor() as cursor:
        cursor.execute(_statement(name), parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]
