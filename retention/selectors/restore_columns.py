"""Which column of a table, as it is now, takes the values of which column of an archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operations.catalogue.identifiers import quoted
from operations.catalogue.types import Column, Table
from operations.conversions import Conversion, castable
from operations.exceptions import UsageError
from retention.exceptions import RestoreRefused
from retention.selectors.archived_columns import (
    ArchivedColumn,
    archived_columns,
    archived_types,
)
from retention.selectors.queries import Row
from retention.selectors.restore_choice import ColumnChoice

_REMEDY = (
    "Undo that change, leave a column out (--drop-column NAME), say where its values go "
    "(--columns OLD=NEW), or restore into another schema (--into-schema NAME)."
)


@dataclass(frozen=True)
class StagedColumn:
    """A column of the archive in the stage, in the layout's order."""

    archived: str
    """Its name when the rows were archived."""
    staged_type: str
    """What its text is read as."""
    of_enum: str = ""
    """The enum that it had then, when it is read as text."""


@dataclass(frozen=True)
class RestoreColumn:
    """One column of the archive whose values go back."""

    archived: str
    place: int
    """In the layout, and so in the stage, from 0."""
    column: Column
    """Where its values go."""
    conversion: Conversion | None = None
    """The column has another type now, or its values are read as texts first: each one must come
    through the conversion unchanged."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What a label is called today, by what it was called."""
    changed: bool = False
    """The column has another type than its values had."""


@dataclass(frozen=True)
class RestoreColumns:
    staged: tuple[StagedColumn, ...]
    """All of the archive's."""
    taken: tuple[RestoreColumn, ...]
    """Those that go back."""


def restore_columns(
    layout: dict[str, Any], table: Table, *, choice: ColumnChoice, as_asked: bool, using: str
) -> RestoreColumns:
    """A column that was renamed is followed by its number; one that was added has no value here.

    Args:
        as_asked: values are read as a search reads them, because rows are chosen by them.

    Raises:
        RestoreRefused: a column has no place any more, or its type cannot be had from the archived
            one; each one is named.
        UsageError: the choice names what is not there.
    """
    columns = archived_columns(layout, using=using)
    types = archived_types(layout, using=using)
    refuse_unknown(choice, columns, table)
    staged: list[StagedColumn] = []
    taken: list[RestoreColumn] = []
    wrong: list[str] = []
    for each in columns:
        found = types[each.type]
        # Rows that come back are active, whatever bin they were in.
        if each.name in choice.left_out or each.name in layout.get("marks", ()):
            staged.append(StagedColumn(each.name, "text"))
            continue
        column = _column_of(each, table, columns, choice)
        problem = _no_place(each, column)
        if problem or column is None:
            wrong.append(problem)
            continue
        labels = choice.labels.get(each.name, {})
        stage, conversion = _read(each, found, column, as_asked=as_asked or bool(labels))
        if conversion is not None and not castable(conversion, using=using):
            wrong.append(
                f"column {quoted(each.name)} had the type {each.type} and has {column.type} now"
            )
        staged.append(stage)
        changed = conversion is not None and column.type != each.type
        taken.append(RestoreColumn(each.name, each.place, column, conversion, labels, changed))
    wrong += _no_longer_generated(layout["generated"], table)
    if wrong:
        raise RestoreRefused(
            f"The rows do not fit into {table.name} as it is now: {'; '.join(wrong)}. {_REMEDY}"
        )
    return RestoreColumns(tuple(staged), tuple(taken))


def columns_added(table: Table, taken: Iterable[RestoreColumn]) -> list[str]:
    """Columns that restored rows get their default in."""
    names = {each.column.name for each in taken}
    return [c.name for c in table.columns if c.name not in names and not c.generated]


def refuse_unknown(choice: ColumnChoice, columns: Sequence[ArchivedColumn], table: Table) -> None:
    archived = {each.name for each in columns}
    asked = {*choice.renamed, *choice.left_out, *choice.labels}
    unknown = sorted(asked - archived)
    if unknown:
        raise UsageError(
            f"The archive has no column {quoted(unknown[0])}. "
            f"It has: {', '.join(quoted(each.name) for each in columns)}."
        )
    no_enum = [each.name for each in columns if each.name in choice.labels and not each.is_text]
    if no_enum:
        raise UsageError(f"{quoted(no_enum[0])} has no labels: only those of an enum are mapped.")
    goals = list(choice.renamed.values())
    for goal in goals:
        if table.column(goal) is None:
            raise UsageError(f"{table.name} has no column {quoted(goal)}.")
        if goals.count(goal) > 1:
            raise UsageError(f"Two columns are to go to {quoted(goal)}.")


def _column_of(
    each: ArchivedColumn, table: Table, columns: Iterable[ArchivedColumn], choice: ColumnChoice
) -> Column | None:
    if each.name in choice.renamed:
        return table.column(choice.renamed[each.name])
    taken = set(choice.renamed.values())
    column = table.column(each.name)
    if column is not None and column.name not in taken:
        return column
    archived = {other.name for other in columns}
    for column in table.columns:
        at_its_place = column.position == each.column.position and column.type == each.type
        if at_its_place and column.name not in archived and column.name not in taken:
            return column
    return None


def _no_place(each: ArchivedColumn, column: Column | None) -> str:
    name = quoted(each.name)
    if column is None:
        return f"column {name} was dropped"
    if column.generated:
        return f"column {name} is generated now"
    return ""


def _read(
    each: ArchivedColumn, found: Row, column: Column, *, as_asked: bool
) -> tuple[StagedColumn, Conversion | None]:
    """As what it was, where that is what the column takes; else in a way that always succeeds."""
    plain = found["plain"]
    if column.type == each.type and plain is not None and not (as_asked and each.read_as != plain):
        return StagedColumn(each.name, plain), None
    if column.type == each.read_as:
        return StagedColumn(each.name, each.read_as), None
    enum = each.type if found["base_kind"] == "enum" else ""
    return StagedColumn(each.name, each.read_as, enum), each.conversion(column)


def _no_longer_generated(generated: list[str], table: Table) -> list[str]:
    columns = filter(None, map(table.column, generated))
    return [
        f"column {quoted(column.name)} was generated, so its values are not in the archive, and "
        "is not generated now"
        for column in columns
        if not column.generated
    ]
