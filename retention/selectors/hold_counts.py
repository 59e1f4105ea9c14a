"""How many rows holds keep: counted exactly for a short while, then estimated or left open."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import OperationalError, connections, transaction
from psycopg import errors, sql

from operations import vetoes
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.structure import from_json
from operations.models import Run
from operations.session import set_local
from retention.exceptions import PolicyRefused
from retention.models import Archive, HoldScope, LegalHold, RetentionPolicy
from retention.selectors.due import DueRows, due, expired, not_kept
from retention.selectors.hold_astray import table_now
from retention.selectors.hold_scopes import ScopeHere, protections_of, scopes_of
from retention.selectors.holds import VETO, holds_of_table
from retention.selectors.policies import policies_runnable

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


@dataclass(frozen=True)
class BecomesDue:
    """Rows past the term of a policy that nothing but one hold keeps."""

    policy: RetentionPolicy
    rows: Amount


@dataclass(frozen=True)
class Release:
    """What follows when a hold is released."""

    due: tuple[BecomesDue, ...]
    archives: tuple[Archive, ...]
    """Past their term, and kept by this hold alone."""


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
    counted = _within_time(sql.SQL("SELECT count(*) {}").format(rows), using, seconds)
    if counted is not None:
        return Amount(counted[0])
    with connections[using].cursor() as cursor:
        cursor.execute(sql.SQL("EXPLAIN (FORMAT JSON) SELECT {}").format(rows))
        plan = cursor.fetchone()[0]
    return Amount(int(plan[0]["Plan"]["Plan Rows"]), estimated=True)


def _within_time(
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
    return rows_counted(table, _any(here), using=using, seconds=seconds)


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


def _any(here: Sequence[ScopeHere]) -> sql.Composable:
    """Held by one of the scopes, as a condition on alias `t` that is never NULL."""
    parts = [_held(each) for each in here]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts)) if parts else sql.SQL("false")


def _held(each: ScopeHere) -> sql.Composable:
    if each.rows is None:
        return sql.SQL("true")
    return each.rows if each.named else sql.SQL("({}) IS NOT FALSE").format(each.rows)


def _by_hold(here: Sequence[ScopeHere]) -> dict[LegalHold, list[ScopeHere]]:
    found: dict[LegalHold, list[ScopeHere]] = {}
    for each in here:
        found.setdefault(each.scope.hold, []).append(each)
    return found


def held_by(rows: DueRows, *, using: str) -> list[dict[str, Any]]:
    """`{hold, rows}` for each hold on the table: rows that but for holds would have gone.

    A row that two holds keep counts for both. `rows` is None where counting takes too long.
    """
    holds = _by_hold(scopes_of(rows.table, using=using))
    if not holds:
        return []
    query = sql.SQL("SELECT {} FROM {} t WHERE {} AND {}").format(
        sql.SQL(", ").join(
            sql.SQL("count(*) FILTER (WHERE {})").format(_any(here)) for here in holds.values()
        ),
        rows.table.name.sql,
        expired(rows),
        not_kept(rows),
    )
    counts = _within_time(query, using) or (None,) * len(holds)
    return [
        {"hold": hold.case_id, "rows": count} for hold, count in zip(holds, counts, strict=True)
    ]


def holds_honoured(run: Run) -> list[dict[str, Any]]:
    """`held_by` as it is at the end of a purge; where that cannot be told, as it was planned."""
    planned: list[dict[str, Any]] = run.plan.get("held_by", [])
    try:
        table = read_table(TableName(*run.parameters["table"]), using=run.database)
        return held_by(DueRows.from_parameters(table, run.parameters), using=run.database)
    except (NoSuchTable, PolicyRefused, ConditionRefused):
        return planned


# What follows from a release.


def release_preview(*, hold: LegalHold, now: datetime, using: str = "default") -> Release:
    """What becomes due, and which archives may expire, once the hold is released."""
    patience = Patience()
    found = [_becomes_due(policy, hold, now, using, patience) for policy in policies_runnable()]
    return Release(
        tuple(each for each in found if each is not None),
        tuple(_archives_freed(hold, now, using)),
    )


def _becomes_due(
    policy: RetentionPolicy, hold: LegalHold, now: datetime, using: str, patience: Patience
) -> BecomesDue | None:
    try:
        table = read_table(policy.table, using=using)
    except NoSuchTable:
        return None
    here = scopes_of(table, using=using)
    mine = [each for each in here if each.scope.hold_id == hold.pk]
    cutoff = policy.cutoff(now)
    if not mine or cutoff is None:
        return None
    keep = from_json(policy.keep_condition) if policy.keep_condition else None
    rows = DueRows(table, policy.age_column, cutoff, keep)
    others = protections_of([each for each in here if each not in mine], table)
    others += vetoes.protections(table, using=using, besides=VETO)
    try:
        free = vetoes.unprotected(others, table=table)
    except vetoes.Vetoed:
        return BecomesDue(policy, Amount(0))
    where = sql.SQL("{} AND {}").format(due(rows, free, walking=False), _any(mine))
    rows_due = rows_counted(table, where, using=using, seconds=patience.left)
    return BecomesDue(policy, rows_due)


def _archives_freed(hold: LegalHold, now: datetime, using: str) -> list[Archive]:
    past = Archive.objects.filter(state=Archive.State.COMPLETE, expires_at__lte=now)
    tables = past.values_list("schema_name", "table_name").distinct().order_by()
    freed = [name for name in tables if _holds_alone(hold, name, using)]
    return [
        archive
        for archive in past.defer("layout").order_by("id")
        if (archive.schema_name, archive.table_name) in freed
    ]


def _holds_alone(hold: LegalHold, name: tuple[str, str], using: str) -> bool:
    return [each.pk for each in holds_of_table(TableName(*name), using=using)] == [hold.pk]
