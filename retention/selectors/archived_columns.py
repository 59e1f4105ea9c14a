"""The columns of an archive as they can be asked today, whether or not its table is still there.

What an application made itself may be another thing by now: the labels of an enum, the check of a
domain, the fields of a composite. So enums are read as text, domains as what is under them, and
types that are gone as text too: an archived value can be read whatever became of its type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from operations.catalogue.types import Column, Key, Table, TableName
from operations.conversions import Conversion
from retention.selectors.queries import Row, rows

_TEXT: Row = {
    "base_schema": "pg_catalog",
    "base_name": "text",
    "base_type": "text",
    "base_kind": "base",
    "category": "S",
}
_TEXTS: Row = {
    **_TEXT,
    "base_name": "_text",
    "base_type": "text[]",
    "base_kind": "array",
    "category": "A",
}


@dataclass(frozen=True)
class ArchivedColumn:
    """One column of an archive, in the layout's order."""

    place: int
    """In the layout, from 0."""
    type: str
    """When the rows were archived."""
    read_as: str
    """The type that its text is read as."""
    column: Column
    """The same as the catalogue would have it, for conditions."""

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def is_text(self) -> bool:
        """It is read as a text, whatever it was."""
        return self.column.category == "S"

    def conversion(self, to: Column) -> Conversion:
        """Of its values, read as `read_as`, to a column of today."""
        return Conversion(self.place, self.read_as, self.is_text, to)


def archived_columns(layout: dict[str, Any], *, using: str) -> tuple[ArchivedColumn, ...]:
    types = archived_types(layout, using=using)
    return tuple(
        _column(place, each, types[each["type"]]) for place, each in enumerate(layout["columns"])
    )


def archived_types(layout: dict[str, Any], *, using: str) -> dict[str, Row]:
    """What each type of the layout is today; `plain` is None for one that is gone."""
    names = [column["type"] for column in layout["columns"]]
    return {row["name"]: row for row in rows("archived_types", {"names": names}, using=using)}


def archived_table(
    name: TableName, layout: dict[str, Any], columns: tuple[ArchivedColumn, ...]
) -> Table:
    """The archived rows as a table that conditions can be written on."""
    key = Key("key", tuple(layout["key"]), primary=True)
    return Table(
        name=name,
        oid=0,
        kind="table",
        columns=tuple(each.column for each in columns),
        keys=(key,) if key.columns else (),
        foreign_keys=(),
        referenced_by=(),
        triggers=(),
        partition_of=None,
        partition_bound="",
        partition_key="",
        leaves=(),
        row_security=False,
        estimated_rows=-1,
        estimated_bytes=0,
    )


def _column(place: int, each: dict[str, Any], found: Row) -> ArchivedColumn:
    read_as, base = _read_as(found)
    column = Column(
        name=each["name"],
        position=each["position"],
        type=read_as,
        base_type=base["base_type"],
        kind=base["base_kind"],
        category=base["category"],
        not_null=False,
        generated="",
        identity="",
        has_default=False,
        collation="",
        base_schema=base["base_schema"],
        base_name=base["base_name"],
        base_kind=base["base_kind"],
    )
    return ArchivedColumn(place, each["type"], read_as, column)


def _read_as(found: Row) -> tuple[str, Row]:
    if found["plain"] is None or found["base_kind"] in ("enum", "composite"):
        return "text", _TEXT
    if found["element_kind"] in ("enum", "domain", "composite"):
        return "text[]", _TEXTS
    if found["base_kind"] in ("range", "multirange") and found["base_schema"] != "pg_catalog":
        return "text", _TEXT
    return found["plain"], found
