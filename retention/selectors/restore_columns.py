"""Which column of a table, as it is now, takes the values of which column of an archive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from operations.catalogue.identifiers import quoted
from operations.catalogue.types import Column, Table
from retention.exceptions import RestoreRefused
from retention.selectors.queries import rows

_ALIKE = (frozenset({"int2", "int4", "int8", "numeric"}), frozenset({"text", "varchar"}))
"""Types between which a value that comes back unchanged has kept its meaning."""


@dataclass(frozen=True)
class RestoreColumn:
    """One column of the archive, in the layout's order."""

    archived: str
    """Its name when the rows were archived."""
    column: Column
    """Where its values go."""
    staged_type: str
    """What its text is read as: the archived type, or what was under it when that is a domain."""
    converted: bool
    """The column has another type now: each value must come through the conversion unchanged."""


def restore_columns(layout: dict[str, Any], table: Table, *, using: str) -> list[RestoreColumn]:
    """A column that was renamed is followed by its number; one that was added has no value here.

    Raises:
        RestoreRefused: a column, or its type, is not there any more; each one is named.
    """
    archived = layout["columns"]
    types = {
        row["name"]: row
        for row in rows("archived_types", {"names": [c["type"] for c in archived]}, using=using)
    }
    names = {column["name"] for column in archived}
    found: list[RestoreColumn] = []
    wrong: list[str] = []
    for each in archived:
        column = table.column(each["name"]) or _renamed(each, table, names)
        problem = _problem(each, column, types[each["type"]])
        if problem:
            wrong.append(problem)
        elif column is not None:
            plain = types[each["type"]]["plain"]
            found.append(RestoreColumn(each["name"], column, plain, column.type != each["type"]))
    wrong += _no_longer_generated(layout["generated"], table)
    if wrong:
        raise RestoreRefused(
            f"The rows do not fit into {table.name} as it is now: {'; '.join(wrong)}. "
            "Undo that change, or copy the rows out of the archive by hand."
        )
    return found


def columns_added(table: Table, taken: Iterable[RestoreColumn]) -> list[str]:
    """Columns that restored rows get their default in."""
    names = {each.column.name for each in taken}
    return [c.name for c in table.columns if c.name not in names and not c.generated]


def _renamed(each: dict[str, Any], table: Table, archived: set[str]) -> Column | None:
    for column in table.columns:
        at_its_place = column.position == each["position"] and column.type == each["type"]
        if at_its_place and column.name not in archived:
            return column
    return None


def _problem(each: dict[str, Any], column: Column | None, type_: dict[str, Any]) -> str:
    name = quoted(each["name"])
    if column is None:
        return f"column {name} was dropped"
    if column.generated:
        return f"column {name} is generated now"
    if type_["plain"] is None:
        return f"column {name} had the type {each['type']}, which does not exist any more"
    before = (type_["base_schema"], type_["base_name"])
    now = (column.base_schema, column.base_name)
    if before != now and not _alike(before, now):
        return f"column {name} had the type {each['type']} and has {column.type} now"
    return ""


def _alike(*types: tuple[str, str]) -> bool:
    names = {name for schema, name in types if schema == "pg_catalog"}
    return len(names) == len(set(types)) and any(names <= family for family in _ALIKE)


def _no_longer_generated(generated: list[str], table: Table) -> list[str]:
    columns = filter(None, map(table.column, generated))
    return [
        f"column {quoted(column.name)} was generated, so its values are not in the archive, and "
        "is not generated now"
        for column in columns
        if not column.generated
    ]
