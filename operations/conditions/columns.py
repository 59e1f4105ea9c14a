"""Which column of the table a condition means."""

from __future__ import annotations

from operations.catalogue.exceptions import NoSuchColumn
from operations.catalogue.names import quoted
from operations.catalogue.types import Column, Table
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.reader import Reader
from operations.conditions.words import guard_call


def known_column(table: Table, name: str) -> Column:
    """Raises ConditionRefused, with the names that are near, when the table has no such column."""
    column = table.column(name)
    if column is None:
        raise ConditionRefused(quoted(name), str(NoSuchColumn(table, name)))
    return column


def read_column(reader: Reader, table: Table) -> Column:
    """A column's name comes next, alone or after the table's, alone or after the schema's."""
    guard_call(reader)
    lexeme = reader.next
    if lexeme.kind not in ("word", "name"):
        raise reader.refused(lexeme, "here a column is expected.")
    parts = [reader.take().text]
    while reader.took_symbol("."):
        if reader.next.kind not in ("word", "name"):
            raise reader.refused(lexeme, "here a column is expected.")
        parts.append(reader.take().text)
    *qualifiers, name = parts
    if qualifiers and qualifiers != [table.name.schema, table.name.name][-len(qualifiers) :]:
        raise reader.refused(lexeme, f"only columns of {table.name} can be named.")
    if reader.at_symbol("("):
        raise reader.refused(lexeme, "no function may be called, except now().")
    if reader.at_symbol("::"):
        raise reader.refused(
            lexeme, "the cast of a column is not understood: compare the column itself."
        )
    return known_column(table, name)
