"""One pass over a table that tells how many of its rows there are of each kind.

A row's age is not known, or it lies in the future, or its term is not over yet; or its term is past
and it is, in this order: kept by the condition, undecided because the condition is NULL, held,
still referred to, or due. Each row counts once.

Aggregates with FILTER and nothing to group by: PostgreSQL knows nothing of how many values an
expression has, and would sort ten million rows by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import ForeignKey, Table
from operations.conditions.render import render
from retention.selectors.due import AGE_TYPES, DueRows, age_column, expired, no_reference
from retention.selectors.preview_cases import Case

SKEW = timedelta(days=1)
"""What a clock, or a time zone, may be ahead before an age counts as one of the future."""
_HEADER = 28
"""Bytes of a row beside its values: its header, its pointer, padding."""


@dataclass(frozen=True)
class Look:
    """What one preview looks for."""

    rows: DueRows
    cases: tuple[Case, ...]
    now: datetime
    keeping: tuple[ForeignKey, ...] = ()
    """The foreign keys whose rows keep what they refer to."""
    references: bool = True
    """Whether rows that others so keep are told apart; they count as due otherwise."""

    @property
    def table(self) -> Table:
        return self.rows.table

    @property
    def impossible(self) -> frozenset[str]:
        """Kinds that no row can be of, whatever a sample may have missed."""
        column = age_column(self.rows)
        is_range = column.base_type not in AGE_TYPES
        possible = {
            "ageless": is_range or not column.not_null,
            "kept": self.rows.keep is not None,
            "undecided": self.rows.keep is not None,
            "held": bool(self.cases),
            "referenced": bool(self.keeping),
        }
        return frozenset(kind for kind, can_be in possible.items() if not can_be)


def age(rows: DueRows) -> sql.Composable:
    """The moment a row's age is counted from; of a range its upper bound."""
    column = age_column(rows)
    name = Identifier("t", column.name)
    if column.base_type in AGE_TYPES:
        return name
    return sql.SQL("pg_catalog.upper({})").format(name)


def kept(rows: DueRows) -> sql.Composable:
    """The keep condition, of three values."""
    if rows.keep is None:
        return sql.SQL("false")
    return render(rows.keep, rows.table, alias="t")


def in_future(look: Look) -> sql.Composable:
    # NOT, which the planner turns round: an index on the age serves it.
    return sql.SQL("NOT ({})").format(
        expired(replace(look.rows, cutoff=look.now + SKEW, active=False))
    )


def candidate(look: Look) -> sql.Composable:
    """Past its term, not kept, not held: due unless other rows refer to it."""
    free = [sql.SQL("NOT {}").format(case.held) for case in look.cases]
    return sql.SQL(" AND ").join([*_not_kept(look), *free])


def due_row(look: Look) -> sql.Composable:
    """The row is due, as a condition that an index on the age serves."""
    if not look.references:
        return candidate(look)
    return sql.SQL(" AND ").join([candidate(look), *_unreferenced(look)])


def worth_counting(look: Look) -> sql.Composable:
    """Every row but those whose term is not over yet: what an index on the age finds."""
    return sql.SQL("({} OR {} IS NULL OR {})").format(
        expired(look.rows), age(look.rows), in_future(look)
    )


def tallies(look: Look) -> sql.Composable:
    """The aggregates, in the order of the fields of Tally; then one for each case."""
    filters = [
        sql.SQL("{} IS NULL").format(age(look.rows)),
        in_future(look),
        expired(look.rows),
        sql.SQL("{} AND {}").format(expired(look.rows), kept(look.rows)),
        sql.SQL("{} AND ({}) IS NULL").format(expired(look.rows), kept(look.rows)),
        _held_by(look, look.cases),
        _referenced(look),
        *(_held_by(look, (case,)) for case in look.cases),
    ]
    counts = [sql.SQL("count(*) FILTER (WHERE {})").format(each) for each in filters]
    return sql.SQL(", ").join([sql.SQL("count(*)"), *counts])


def ages(look: Look) -> sql.Composable:
    """The aggregates, in the order of the fields of Ages."""
    return sql.SQL(
        "(min({age}) FILTER (WHERE {due}))::text, (max({age}) FILTER (WHERE {due}))::text,"
        " max({age})::text"
    ).format(age=age(look.rows), due=due_row(look))


def _not_kept(look: Look) -> list[sql.Composable]:
    if look.rows.keep is None:
        return [expired(look.rows)]
    return [expired(look.rows), sql.SQL("({}) IS FALSE").format(kept(look.rows))]


def _held_by(look: Look, cases: tuple[Case, ...]) -> sql.Composable:
    if not cases:
        return sql.SQL("false")
    held = sql.SQL(" OR ").join(case.held for case in cases)
    return sql.SQL(" AND ").join([*_not_kept(look), sql.SQL("({})").format(held)])


def _referenced(look: Look) -> sql.Composable:
    if not look.references or not look.keeping:
        return sql.SQL("false")
    return sql.SQL("{} AND NOT ({})").format(
        candidate(look), sql.SQL(" AND ").join(_unreferenced(look))
    )


def _unreferenced(look: Look) -> list[sql.Composable]:
    return [no_reference(key, look.table) for key in look.keeping]


def width(table: Table) -> sql.Composable:
    """Bytes that a row takes, with what TOAST keeps for it, without reading that."""
    sizes = [
        sql.SQL("coalesce(pg_catalog.pg_column_size({}), 0)").format(Identifier("t", column.name))
        for column in table.columns
        if column.generated != "virtual"
    ]
    return sql.SQL(" + ").join([sql.SQL(str(_HEADER)), *sizes])
