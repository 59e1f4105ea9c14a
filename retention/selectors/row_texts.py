"""Rows of governed tables as people read them: a few columns, as text, read when they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from operations.masking import masked
from operations.readable import identifies, readable_columns

LONGEST = 200
"""Characters of a value that are read."""
_SHORT = sql.SQL("pg_catalog.left({value}::pg_catalog.text, {most})")
_MOMENT = sql.SQL("pg_catalog.regexp_replace({value}::pg_catalog.text, '[.]\\d+', '')")
"""To the second: nobody remembers more."""


@dataclass(frozen=True)
class RowText:
    """A row by its key and what stands for it."""

    record_id: str
    columns: tuple[Column, ...]
    values: tuple[str | None, ...]

    def shown(self, *, masks: bool) -> list[tuple[str, str | None]]:
        """Each column's name and value; with `masks`, of what looks personal only its shape."""
        return [
            (column.name, masked(value, column) if masks else value)
            for column, value in zip(self.columns, self.values, strict=True)
        ]

    def name(self, *, masks: bool) -> str:
        """The value that people look it up by; empty where it has none."""
        first = self.shown(masks=masks)[:1]
        return first[0][1] or "" if first and identifies(self.columns[0]) else ""

    def words(self, *, masks: bool) -> list[str]:
        """The values that say something, the most telling first."""
        return [value for _, value in self.shown(masks=masks) if value]


def text_columns(table: Table) -> tuple[Column, ...]:
    return readable_columns(table)


def texts(columns: Sequence[Column], *, alias: str = "t") -> list[sql.Composable]:
    """The columns as text, cut where nobody would read on."""
    return [
        (_MOMENT if column.category == "D" else _SHORT).format(
            value=Identifier(alias, column.name), most=sql.Literal(LONGEST)
        )
        for column in columns
    ]


def listed(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(", ").join(parts)
