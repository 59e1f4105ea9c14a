"""What of the bin would be destroyed now, and what waits and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import OperationalError, connections, transaction
from django.db.models import Count, F, Min, Sum
from django.utils import timezone
from psycopg import errors, sql

from operations import vetoes
from operations.session import set_local
from retention.models import Deletion, DeletionTable
from retention.selectors.deletions_due import ROWS, DueDeletions
from retention.selectors.dependents import Graph, Reference
from retention.selectors.due import DueRows, not_kept
from retention.selectors.references import refers
from retention.selectors.softdelete_graph import marked_numbers
from retention.selectors.softdelete_marks import DELETION

SECONDS = 5.0
"""For each look at what keeps rows; beyond it nothing is said of it."""
_TIMEOUT = sql.SQL("SELECT pg_catalog.current_setting('statement_timeout')")
SHOWN = 20
"""Deletions that wait and are named."""


@dataclass(frozen=True)
class Waiting:
    """A deletion that stays, or of which records stay."""

    deletion: int
    why: str


@dataclass(frozen=True)
class BinStanding:
    """The deletions whose grace is over, and the others."""

    deletions: int
    rows: int
    going: int
    """Rows, without those of single records that wait: of a deletion of many most may go."""
    waiting: tuple[Waiting, ...] | None
    """Of them; None: there was no time to look."""
    in_grace: int
    """Deletions whose grace is not over yet; 0 where one deletion is looked at."""
    in_grace_rows: int
    next_end: str
    """When the next grace ends, ISO; empty for none."""

    def to_json(self) -> dict[str, Any]:
        waiting = self.waiting or ()
        return {
            "deletions": self.deletions,
            "rows": self.rows,
            "going": self.going,
            "waiting": None if self.waiting is None else len(waiting),
            "waiting_because": [
                {"deletion": each.deletion, "why": each.why} for each in waiting[:SHOWN]
            ],
            "in_grace": self.in_grace,
            "in_grace_rows": self.in_grace_rows,
            "next_end": self.next_end,
        }


def bin_standing(
    graph: Graph, which: DueDeletions, rows: DueRows, *, using: str, seconds: float = SECONDS
) -> BinStanding:
    """Looks, changes nothing. A deletion that waits may wait for some of its records only.

    Args:
        seconds: for which it may look for what keeps rows.
    """
    found = which.query().annotate(rows=ROWS).values_list("pk", "rows", "roots")
    due = {pk: rows for pk, rows, _ in found}
    waiting: tuple[Waiting, ...] | None
    try:
        with transaction.atomic(using=using):
            before = _ask(_TIMEOUT, using)[0][0]
            set_local({"statement_timeout": f"{max(int(seconds * 1000), 1)}ms"}, using=using)
            waiting = _waiting(graph, which, rows, set(due), using)
            # Somebody else's transaction may go on.
            set_local({"statement_timeout": before}, using=using)
    except OperationalError as error:
        if not isinstance(error.__cause__, errors.QueryCanceled):
            raise
        waiting = None
    single = {pk for pk, _, roots in found if roots == 1}
    stays = single & {each.deletion for each in waiting or ()}
    in_grace, in_grace_rows, first = _in_grace(which)
    return BinStanding(
        deletions=len(due),
        rows=sum(due.values()),
        going=sum(rows for pk, rows in due.items() if pk not in stays),
        waiting=waiting,
        in_grace=in_grace,
        in_grace_rows=in_grace_rows,
        next_end=timezone.localtime(first).isoformat() if first else "",
    )


def _in_grace(which: DueDeletions) -> tuple[int, int, datetime | None]:
    """Deletions of the table whose grace is not over, their rows, and when the next one ends.

    Nothing beside a single deletion: there may be millions, and nobody asks for them there.
    """
    if which.deletion is not None:
        return 0, 0, None
    grace = Deletion.objects.filter(
        database=which.database,
        table_oid=which.table_oid,
        state=Deletion.State.DELETED,
        purge_after__gt=which.before,
    )
    deletions = grace.aggregate(count=Count("pk"), first=Min("purge_after"))
    rows = DeletionTable.objects.filter(deletion__in=grace).aggregate(
        rows=Sum(F("deleted") - F("restored") - F("moved") - F("purged"), default=0)
    )
    return deletions["count"], rows["rows"], deletions["first"]


def _waiting(
    graph: Graph, which: DueDeletions, rows: DueRows, due: set[int], using: str
) -> tuple[Waiting, ...]:
    if not due:
        return ()
    why: dict[int, str] = {}
    marked = marked_numbers(graph.tables, using=using)
    for number in sorted(marked):
        for deletion, reason in _kept(graph, number, which, rows, using):
            why.setdefault(deletion, reason)
    behind: dict[int, set[int]] = {}
    for each in graph.references:
        for deletion, other in _referred(graph, each, marked, which, using):
            if other in due:
                behind.setdefault(other, set()).add(deletion)
            else:
                why.setdefault(deletion, _because(each, other))
    stuck = list(why)
    while stuck:
        first = stuck.pop()
        for deletion in behind.get(first, set()) - why.keys():
            why[deletion] = f"deletion {first}, which refers to it, waits"
            stuck.append(deletion)
    return tuple(Waiting(deletion, why[deletion]) for deletion in sorted(why))


def _because(each: Reference, other: int | None) -> str:
    if other is None:
        return f"active rows of {each.key.table} refer to it"
    return f"rows of {each.key.table} in deletion {other} refer to it, and go first"


def _kept(
    graph: Graph, number: int, which: DueDeletions, rows: DueRows, using: str
) -> Iterator[tuple[int, str]]:
    """Deletions with rows of this table that somebody protects, or the policy's condition keeps."""
    table = graph.tables[number]
    reasons: list[tuple[sql.Composable, str]] = []
    for protection in vetoes.protections(table, using=using):
        if protection.rows is None:
            whole = f"{table.name} is held as a whole by {protection.by}"
            reasons.append((sql.SQL("true"), whole))
        else:
            held = sql.SQL("({}) IS NOT FALSE").format(protection.rows)
            reasons.append((held, f"rows of {table.name} are held by {protection.by}"))
    if number == 0 and rows.keep is not None:
        kept = sql.SQL("NOT ({})").format(not_kept(rows))
        reasons.append((kept, f"the policy's condition keeps rows of {table.name}"))
    for where, reason in reasons:
        query = sql.SQL(
            "SELECT DISTINCT t.{deletion} FROM {table} t WHERE t.{deletion} IN ({due}) AND {where}"
        ).format(
            deletion=sql.Identifier(DELETION),
            table=table.name.sql,
            due=which.numbers,
            where=where,
        )
        for (deletion,) in _ask(query, using):
            yield deletion, reason


def _referred(
    graph: Graph, each: Reference, marked: frozenset[int], which: DueDeletions, using: str
) -> list[tuple[Any, ...]]:
    """Deletions with rows to which others refer: which these are in, NULL for none."""
    if each.parent not in marked:
        return []
    other: sql.Composable = sql.SQL("NULL::pg_catalog.int8")
    if each.child in marked:
        other = sql.SQL("c.{}").format(sql.Identifier(DELETION))
    return _ask(
        sql.SQL(
            "SELECT DISTINCT p.{deletion}, {other} FROM {parents} p JOIN {children} c ON {refers}"
            " WHERE p.{deletion} IN ({due}) AND p.{deletion} IS DISTINCT FROM {other}"
        ).format(
            deletion=sql.Identifier(DELETION),
            other=other,
            parents=graph.tables[each.parent].name.sql,
            children=each.key.table.sql,
            refers=refers(each.key, graph.tables[each.parent], child="c", referred="p"),
            due=which.numbers,
        ),
        using,
    )


def _ask(query: sql.Composable, using: str) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
