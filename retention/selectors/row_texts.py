"""Rows of governed tables as people read them: a few columns, as text, read when they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from auditing.selectors.unkept import untold_names
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from operations.masking import masked
from operations.readable import identifies, readable_columns
from operations.record_ids import given_keys, same_key

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
        return [value for _, value in self.shown(masks=masks) if value and value.strip()]

    @property
    def label(self) -> str:
        """In one line, for who may see it; the record id where nothing else tells."""
        return ", ".join(self.words(masks=False)[:3]) or self.record_id


def text_columns(table: Table, *, using: str = "default") -> tuple[Column, ...]:
    """Those that stand for a row, without what the audit does not keep: that is shown nowhere."""
    return readable_columns(table, without=untold_names(table, using=using))


def keyed_rows(
    table: Table,
    keys: Sequence[tuple[str, ...]],
    parts: Sequence[sql.Composable],
    *,
    numbered: bool = False,
) -> sql.Composable:
    """A query for `parts` of the rows `t` that have these keys, in the bin or not.

    PostgreSQL refuses (DataError) a text that is no value of the key's type.

    Args:
        numbered: the keys, `k`, have a column `PLACE`, 1 for the first.

    Raises:
        NoRecordId: the rows of the table cannot be named.
    """
    return sql.SQL("SELECT {} FROM {} k JOIN {} t ON {}").format(
        listed(parts),
        given_keys(keys, table, numbered=numbered),
        table.name.sql,
        same_key(table, "t", "k"),
    )


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
