"""Which rows have reached the end of their term.

Invariant: a row is due only when its age is known and before the cutoff, the keep condition is
FALSE for it, no veto protects it, and no other row refers to it. Where any of these is NULL, it
is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from psycopg import sql

from operations.catalogue.types import Column, ForeignKey, Table
from operations.conditions.render import render
from operations.conditions.structure import Condition, from_json
from retention.exceptions import PolicyRefused
from retention.selectors.references import refers
from retention.selectors.softdelete_marks import is_active

AGE_TYPES = ("date", "timestamp", "timestamptz")
RANGE_TYPES = ("daterange", "tsrange", "tstzrange")


@dataclass(frozen=True)
class DueRows:
    """The terms of a policy, frozen for one run."""

    table: Table
    age_column: str
    cutoff: datetime
    keep: Condition | None
    active: bool = False
    """Rows that are in the bin are none of these."""

    @classmethod
    def from_parameters(cls, table: Table, parameters: dict[str, Any]) -> DueRows:
        keep = parameters.get("keep_condition")
        return cls(
            table,
            parameters["age_column"],
            datetime.fromisoformat(parameters["cutoff"]),
            from_json(keep) if keep else None,
            active=parameters.get("bin") is not None,
        )


def age_column(due: DueRows) -> Column:
    """Raises PolicyRefused when the table has no such column of a fitting type."""
    column = due.table.column(due.age_column)
    if column is None:
        raise PolicyRefused(f"{due.table.name} has no column {due.age_column!r} any more.")
    if column.base_type not in AGE_TYPES + RANGE_TYPES:
        raise PolicyRefused(
            f"{due.table.name}.{column.name} is a {column.type}: "
            "an age column is a date, a timestamp, or a range of these."
        )
    return column


def expired(due: DueRows) -> sql.Composable:
    """Before the cutoff, as a condition on alias `t` that an index on the column serves.

    A date has expired when the whole day lies before the cutoff. A date or a timestamp without
    zone is read in the console's time zone. A range's age is its upper bound.
    """
    column = age_column(due)
    value: sql.Composable = sql.Identifier("t", column.name)
    kind = column.base_type
    if kind in RANGE_TYPES:
        value = sql.SQL("pg_catalog.upper({})").format(value)
        kind = {"daterange": "date", "tsrange": "timestamp", "tstzrange": "timestamptz"}[kind]
    before = sql.SQL("{} < {}").format(value, moment(due, kind))
    return sql.SQL("{} AND {}").format(before, is_active("t")) if due.active else before


def moment(due: DueRows, kind: str) -> sql.Composable:
    """The cutoff as a value of one of AGE_TYPES: what is before it has expired."""
    local = due.cutoff.astimezone(timezone.get_default_timezone())
    if kind == "date":
        return sql.Literal(local.date().isoformat()) + sql.SQL("::date")
    if kind == "timestamp":
        return sql.Literal(local.replace(tzinfo=None).isoformat(" ")) + sql.SQL("::timestamp")
    return sql.Literal(due.cutoff.isoformat(" ")) + sql.SQL("::timestamptz")


def not_kept(due: DueRows) -> sql.Composable:
    """The keep condition is FALSE for the row."""
    if due.keep is None:
        return sql.SQL("true")
    return sql.SQL("({}) IS FALSE").format(render(due.keep, due.table, alias="t"))


def not_referenced(due: DueRows, keys: Sequence[ForeignKey] | None = None) -> sql.Composable:
    """No row elsewhere refers to it through one of the foreign keys; None: through any."""
    keys = due.table.referenced_by if keys is None else keys
    parts = [no_reference(key, due.table) for key in keys]
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("true")


def no_reference(key: ForeignKey, table: Table) -> sql.Composable:
    """No row refers through this key to the row of alias `t`, which is one of `table`."""
    return sql.SQL("NOT EXISTS (SELECT FROM {} child WHERE {})").format(
        key.table.sql, refers(key, table, child="child", referred="t")
    )


def due(
    rows: DueRows,
    unprotected: sql.Composable,
    *,
    walking: bool,
    keeping: Sequence[ForeignKey] | None = None,
) -> sql.Composable:
    """All of it, as a condition on alias `t`.

    Args:
        keeping: the foreign keys whose rows keep what they refer to; None: every one.
        walking: the rows come from a window of pages. Then the age must not tempt the planner to
            read its index again for every window: IS TRUE keeps an index from serving it.
    """
    age = expired(rows)
    if walking:
        age = sql.SQL("({}) IS TRUE").format(age)
    return sql.SQL(" AND ").join([age, not_kept(rows), unprotected, not_referenced(rows, keeping)])
