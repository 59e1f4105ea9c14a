"""How many rows holds keep: counted exactly for a short while, then estimated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connections, transaction
from psycopg import errors, sql

from operations.catalogue.types import Table
from operations.session import set_local
from retention.models import HoldScope, LegalHold
from retention.selectors.hold_astray import table_now
from retention.selectors.hold_scopes import ScopeHere, named_together, scopes_of

COUNT_SECONDS = 3.0
"""For one count. Beyond it PostgreSQL's estimate is given, and said to be one."""
PAGE_SECONDS = 6.0
"""For all counts that one page or one command asks for."""
_LEAST = 0.05


@dataclass(frozen=True)
class Amount:
    rows: int
    estimated: bool = False

    def __str__(self) -> str:
        return f"about {self.rows:,}" if self.estimated else f"{self.rows:,}"


class Patience:
    """Seconds for several counts together: the later ones get what is left."""

    def __init__(self, seconds: float = PAGE_SECONDS) -> None:
        self._until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return max(min(self._until - time.monotonic(), COUNT_SECONDS), _LEAST)


def rows_counted(
    table: Table, where: sql.Composable, *, using: str, seconds: float = COUNT_SECONDS
) -> Amount:
    """How many rows `t` of the table meet the condition, estimated when it takes longer."""
    rows = sql.SQL("FROM {} t WHERE {}").format(table.name.sql, where)
    counted = row_within_time(sql.SQL("SELECT count(*) {}").format(rows), using, seconds)
    if counted is not None:
        return Amount(counted[0])
    with connections[using].cursor() as cursor:
        cursor.execute(sql.SQL("EXPLAIN (FORMAT JSON) SELECT {}").format(rows))
        plan = cursor.fetchone()[0]
    return Amount(int(plan[0]["Plan"]["Plan Rows"]), estimated=True)


def row_within_time(
    query: sql.Composable, using: str, seconds: float = COUNT_SECONDS
) -> tuple[Any, ...] | None:
    """The query's row; None when it takes longer."""
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute("SELECT pg_catalog.current_setting('statement_timeout')")
            before = cursor.fetchone()[0]
            set_local({"statement_timeout": f"{int(seconds * 1000)}ms"}, using=using)
            cursor.execute(query)
            found: tuple[Any, ...] = cursor.fetchone()
            # Somebody else's transaction may go on.
            set_local({"statement_timeout": before}, using=using)
        return found
    except OperationalError as error:
        if isinstance(error.__cause__, errors.QueryCanceled):
            return None
        raise


def rows_held(
    here: Sequence[ScopeHere], table: Table, *, using: str, seconds: float = COUNT_SECONDS
) -> Amount:
    """How many rows of the table these scopes hold now. A whole table is estimated at once."""
    if any(each.rows is None for each in here):
        return Amount(max(table.estimated_rows, 0), estimated=True)
    return rows_counted(table, held_by_any(here), using=using, seconds=seconds)


@dataclass(frozen=True)
class HeldNow:
    """What one scope protects as things are."""

    scope: HoldScope
    rows: Amount
    trouble: str = ""


def rows_held_by(hold: LegalHold) -> list[HeldNow]:
    """What each scope of the hold protects now, of its own table and what is below it.

    Nothing once it is released; a table that is gone has no rows.
    """
    patience = Patience()
    scopes = hold.scopes.select_related("hold", "added_by")
    return [_held_now(scope, hold, patience) for scope in scopes]


def _held_now(scope: HoldScope, hold: LegalHold, patience: Patience) -> HeldNow:
    if not hold.active:
        return HeldNow(scope, Amount(0))
    table = table_now(scope)
    if table is None:
        return HeldNow(scope, Amount(0), "there is no such table")
    here = [each for each in scopes_of(table, using=scope.database) if each.scope.pk == scope.pk]
    rows = rows_held(here, table, using=scope.database, seconds=patience.left)
    return HeldNow(scope, rows, next((each.trouble for each in here), ""))


def held_by_any(here: Sequence[ScopeHere]) -> sql.Composable:
    """Held by one of the scopes, as a condition on alias `t` that is never NULL."""
    named, others = named_together(here)
    parts = [*(rows for _, rows in named), *(_held(each) for each in others)]
    if len(parts) == 1:
        # Alone, the planner can make a join of it.
        return parts[0]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts)) if parts else sql.SQL("false")


def _held(each: ScopeHere) -> sql.Composable:
    if each.rows is None:
        return sql.SQL("true")
    return each.rows if each.named else sql.SQL("({}) IS NOT FALSE").format(each.rows)
