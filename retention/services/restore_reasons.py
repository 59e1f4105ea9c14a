"""Why PostgreSQL did not take a row, in words that hold none of its values."""

from __future__ import annotations

import psycopg
from django.db import DatabaseError
from psycopg import errors

from operations.catalogue.identifiers import quoted
from operations.catalogue.types import TableName
from retention.selectors.restore_target import RestoreTarget

_OF_THE_ROW = ("22", "23", "27", "2F", "38", "39", "44", "P0")
"""Classes of SQLSTATE that a row brings about: its data, a constraint, a trigger."""


class RowsRefused(Exception):
    """Rows could not be inserted, for this reason or, when there are several, for one of them."""


def refusal(error: DatabaseError, target: RestoreTarget) -> RowsRefused | None:
    """The reason as a person reads it; None when it does not lie in the row."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error) or (cause.sqlstate or "")[:2] not in _OF_THE_ROW:
        return None
    return RowsRefused(_told(cause, target))


def _told(error: psycopg.Error, target: RestoreTarget) -> str:
    diag = error.diag
    found = (diag.schema_name, diag.table_name)
    ours = {target.table.name, *target.table.leaves}
    if found[0] and found[1] and TableName(found[0], found[1]) not in ours:
        where = f" (of {TableName(found[0], found[1])}, through a trigger)"
    else:
        where = ""
    constraint = quoted(diag.constraint_name or "")
    match error:
        case errors.UniqueViolation():
            told = f"another row has taken its place under {constraint}"
        case errors.ExclusionViolation():
            told = f"another row excludes it under {constraint}"
        case errors.ForeignKeyViolation():
            told = f"the row{_parent(diag.constraint_name, target)} that it refers to is missing"
            told += f" ({constraint})"
        case errors.NotNullViolation() if diag.column_name:
            told = f"its {quoted(diag.column_name)} is NULL, which NOT NULL forbids now"
        case errors.CheckViolation() if diag.datatype_name:
            told = f"a value breaks {constraint} of the type {quoted(diag.datatype_name)}"
        case errors.CheckViolation() if diag.constraint_name:
            told = f"it breaks {constraint}"
        case errors.CheckViolation():
            told = f"no partition of {target.table.name} takes it: make one for it first"
        case psycopg.DataError():
            told = f"a value does not fit its column any more ({type(error).__name__})"
        case _:
            told = f"the database refused it ({type(error).__name__}{_at(diag.context)})"
    return told + where


def _parent(constraint: str | None, target: RestoreTarget) -> str:
    found = next((each for each in target.parents if each.name == constraint), None)
    return f" of {found.table}" if found else ""


def _at(context: str | None) -> str:
    """Where in a trigger's function."""
    first = (context or "").split("\n")[0]
    return f", {first}" if first.startswith("PL/") else ""
