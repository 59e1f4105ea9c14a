"""One page of the audit log, whatever its length: never counted, found by indexes, bounded.

A page looks at a bounded number of statements that have what the best index finds (a person's, a
table's); when too few of them have the rest as well, it says how far back it has looked, and the
next page goes on from there. So each page takes as long as any other, at ten million statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, transaction
from psycopg import sql

from auditing.models import ChangeStatement, Operation, TrackedTable
from auditing.selectors.log_contexts import contexts_found, reason_is
from auditing.selectors.log_filter import (
    LogFilter,
    actors_named,
    own_are_tracked,
    tracked_named,
    tracked_of_applications,
)
from operations.session import set_local

LOOKED_AT = 20_000
"""Statements that one page looks at."""
FEW = 2_000
"""Fewer than these are looked at by whichever index finds them."""
SLACK = 500
"""Statements around a moment: their numbers are taken just before the clock is read."""
_LAST = 10**18 - 1
"""No statement has a higher number."""
_UNORDERED = ("enable_bitmapscan", "enable_seqscan", "enable_sort")
"""Ways to rows that read all before they give the first."""
_TABLE = sql.SQL("custody.auditing_changestatement")


@dataclass(frozen=True)
class Place:
    """Where a page ends: the next one has what is older."""

    statement: int
    context: int | None = None
    """Of a page that follows contexts, newest first, and their statements."""

    def __str__(self) -> str:
        return f"{self.statement}" + (f"-{self.context}" if self.context is not None else "")

    @classmethod
    def read(cls, text: str) -> Place | None:
        """None for what is no place."""
        numbers = text.split("-")
        if len(numbers) > 2 or not all(n.isdecimal() and len(n) < 19 for n in numbers):
            return None
        return cls(*map(int, numbers))


@dataclass(frozen=True)
class LogPage:
    statements: list[ChangeStatement]
    """Newest first, with context, table and event."""
    older: Place | None
    """None at the end of the log."""
    looked_back_to: datetime | None = None
    """Set when the page ends because it has looked long enough, not because it is full."""


@dataclass(frozen=True)
class _Branch:
    """What an index serves: a condition, and its order, in which numbers fall."""

    condition: sql.Composable
    order: sql.Composable


@dataclass(frozen=True)
class _Way:
    """Index scans that find candidates."""

    branches: list[_Branch]
    rest: list[sql.Composable]
    """What the candidates must be besides."""


def log_page(
    asked: LogFilter, *, before: Place | None = None, size: int = 50, using: str = "default"
) -> LogPage:
    """The newest statements before `before` that are what is asked for."""
    conditions = _conditions(asked)
    if any(each == [] for each in conditions.values()):
        return LogPage([], None)
    after = before.statement if before is not None and before.context is None else None
    bounds = _bounds(asked, after, using)
    way, few = _way(conditions, bounds, using)
    if asked.by_context and not (few and (before is None or before.context is None)):
        return _by_context(asked, conditions, before, size, using)
    if asked.by_context:
        way = _Way(way.branches, [*way.rest, _said(asked)])
    ids = _run(_candidates(way, bounds, size, size + 1), using)
    found = [number for (number,) in ids]
    if len(found) > size:
        return LogPage(_read(found[:size], using), Place(found[size - 1]))
    end = _looked_at(way, bounds, size, using)
    if end is None:
        return LogPage(_read(found, using), None)
    at = ChangeStatement.objects.using(using).filter(pk=end).values_list("at", flat=True).first()
    return LogPage(_read([n for n in found if n >= end], using), Place(end), at)


def _conditions(asked: LogFilter) -> dict[str, list[sql.Composable]]:
    """Alternatives by what they are about; an empty list is what nothing can be."""
    found: dict[str, list[sql.Composable]] = {}
    if asked.user or asked.actor:
        actors = [asked.actor] if asked.actor else actors_named(asked.user)
        found["actor"] = [_equal("actor", actor) for actor in actors]
    if asked.table:
        found["table"] = [_equal("tracked_id", number) for number in tracked_named(asked.table)]
    elif asked.without_own and own_are_tracked():
        found["table"] = [_equal("tracked_id", number) for number in tracked_of_applications()]
    if asked.operation:
        known = asked.operation in Operation.values
        found["operation"] = [_operation(asked.operation)] if known else []
    return found


def _way(
    given: dict[str, list[sql.Composable]], bounds: sql.Composable, using: str
) -> tuple[_Way, bool]:
    """By the person, else by the table, else by the operation in every table; few before many.

    With whether those it finds are few.
    """
    ways = []
    both = sql.SQL("({} AND {})")
    if "operation" in given:
        tables = given.get("table") or [
            _equal("tracked_id", pk)
            for pk in TrackedTable.objects.using(using).values_list("pk", flat=True)
        ]
        pairs: list[sql.Composable] = [both.format(t, given["operation"][0]) for t in tables]
        ways.append(_Way(_by("tracked_id", pairs), _others(given, "table", "operation")))
    elif "table" in given:
        ways.append(_Way(_by("tracked_id", given["table"]), _others(given, "table")))
    if "actor" in given:
        ways.append(_Way(_by("actor", given["actor"]), _others(given, "actor")))
    if not ways:
        return _Way([_Branch(sql.SQL("true"), sql.SQL("id DESC"))], []), False
    for way in ways:
        if way.branches and _is_few(way, bounds, using):
            return way, True
    return ways[-1], False


def _by(column: str, conditions: list[sql.Composable]) -> list[_Branch]:
    """By the index of the column, which the order asks for: walking back through all statements
    looks cheaper to the planner, and is endless where there are none."""
    order = sql.SQL("{}, id DESC").format(sql.Identifier(column))
    return [_Branch(condition, order) for condition in conditions]


def _said(asked: LogFilter) -> sql.Composable:
    """What a statement's context has to say: for candidates that are few."""
    parts: list[sql.Composable] = []
    if asked.request_id:
        parts.append(sql.SQL("request_id = {}").format(sql.Literal(asked.request_id)))
    if asked.reason:
        parts.append(reason_is(asked.reason))
    return sql.SQL(
        "EXISTS (SELECT FROM custody.auditing_changecontext c WHERE c.id = context_id AND {})"
    ).format(sql.SQL(" AND ").join(parts))


def _others(given: dict[str, list[sql.Composable]], *but: str) -> list[sql.Composable]:
    return [
        sql.SQL("({})").format(sql.SQL(" OR ").join(alternatives))
        for name, alternatives in given.items()
        if name not in but
    ]


def _is_few(way: _Way, bounds: sql.Composable, using: str) -> bool:
    found = _run(sql.SQL("SELECT count(*) FROM ({}) few").format(_scan(way, bounds, FEW)), using)
    return bool(found[0][0] < FEW)


def _scan(way: _Way, bounds: sql.Composable, most: int) -> sql.Composable:
    """Up to `most` of each branch, by its index."""
    one = sql.SQL(
        "(SELECT id, tracked_id, operation, actor, context_id FROM {table}"
        " WHERE {branch} AND {bounds} ORDER BY {order} LIMIT {most})"
    )
    return sql.SQL(" UNION ALL ").join(
        one.format(
            table=_TABLE,
            branch=branch.condition,
            bounds=bounds,
            order=branch.order,
            most=sql.Literal(most),
        )
        for branch in way.branches
    )


def _most(way: _Way, size: int) -> int:
    """Of each branch: as many as the page has when nothing else is asked of them."""
    return max(LOOKED_AT // len(way.branches), size + 1) if way.rest else size + 1


def _candidates(way: _Way, bounds: sql.Composable, size: int, limit: int) -> sql.Composable:
    return sql.SQL("SELECT id FROM ({}) found WHERE {} ORDER BY id DESC LIMIT {}").format(
        _scan(way, bounds, _most(way, size)),
        sql.SQL(" AND ").join(way.rest or [sql.SQL("true")]),
        sql.Literal(limit),
    )


def _looked_at(way: _Way, bounds: sql.Composable, size: int, using: str) -> int | None:
    """The number down to which every candidate was looked at; None when there are no more."""
    most = _most(way, size)
    one = sql.SQL(
        "(SELECT id FROM {table} WHERE {branch} AND {bounds}"
        " ORDER BY {order} OFFSET {most} LIMIT 1)"
    )
    ends = sql.SQL(" UNION ALL ").join(
        one.format(
            table=_TABLE,
            branch=branch.condition,
            bounds=bounds,
            order=branch.order,
            most=sql.Literal(most - 1),
        )
        for branch in way.branches
    )
    found: int | None = _run(sql.SQL("SELECT max(id) FROM ({}) ends").format(ends), using)[0][0]
    return found


def _bounds(asked: LogFilter, before: int | None, using: str) -> sql.Composable:
    """Which numbers and times. Numbers rise with time but for a moment: `SLACK` covers that."""
    parts: list[sql.Composable] = []
    if before is not None:
        parts.append(sql.SQL("id < {}").format(sql.Literal(before)))
    if asked.since is not None:
        first = _edge("min", "at >= {}", "at", asked.since, using)
        parts.append(sql.SQL("id >= {} AND at >= {}").format(first, _moment(asked.since)))
    if asked.until is not None:
        last = _edge("max", "at < {}", "at DESC", asked.until, using)
        parts.append(sql.SQL("id <= {} AND at < {}").format(last, _moment(asked.until)))
    return sql.SQL(" AND ").join(parts or [sql.SQL("true")])


def _edge(which: str, condition: str, order: str, moment: datetime, using: str) -> sql.Literal:
    near = sql.SQL(
        "SELECT {which}(id) FROM (SELECT id FROM {table} WHERE {condition}"
        " ORDER BY {order} LIMIT {slack}) near"
    ).format(
        which=sql.SQL(which),
        table=_TABLE,
        condition=sql.SQL(condition).format(_moment(moment)),
        order=sql.SQL(order),
        slack=sql.Literal(SLACK),
    )
    found = _run(near, using)[0][0]
    # Nothing after the beginning, or nothing before the end: then no number fits.
    return sql.Literal(found if found is not None else (2**62 if which == "min" else -1))


def _by_context(
    asked: LogFilter,
    conditions: dict[str, list[sql.Composable]],
    before: Place | None,
    size: int,
    using: str,
) -> LogPage:
    """Contexts newest first, their statements newest first."""
    after = before.context if before is not None else None
    contexts = contexts_found(asked, not_after=after, using=using)
    if not contexts.ids and contexts.looked_to is None:
        return LogPage([], None)
    rest = [*_others(conditions), _bounds(asked, None, using)]
    query = sql.SQL(
        "SELECT s.id, c.id FROM unnest({contexts}::bigint[]) WITH ORDINALITY AS c (id, place)"
        " CROSS JOIN LATERAL (SELECT id FROM (SELECT * FROM {table} WHERE context_id = c.id"
        " AND (c.id, id) < ({context}, {statement}) ORDER BY id DESC LIMIT {looked_at}) near"
        " WHERE {rest} ORDER BY id DESC LIMIT {limit}) s"
        " ORDER BY c.place, s.id DESC LIMIT {limit}"
    ).format(
        contexts=sql.Literal(contexts.ids),
        table=_TABLE,
        context=sql.Literal(after if after is not None else 2**62),
        statement=sql.Literal(before.statement if before is not None else 2**62),
        looked_at=sql.Literal(LOOKED_AT),
        rest=sql.SQL(" AND ").join(rest),
        limit=sql.Literal(size + 1),
    )
    found = _run(query, using)
    shown = _read([number for number, _ in found[:size]], using)
    if len(found) > size:
        return LogPage(shown, Place(*found[size - 1]))
    if contexts.looked_to is None:
        return LogPage(shown, None)
    older = Place(_LAST, contexts.looked_to - 1)
    return LogPage(shown, older, _context_at(contexts.looked_to, using))


def _context_at(number: int, using: str) -> datetime | None:
    query = sql.SQL("SELECT at FROM custody.auditing_changecontext WHERE id = {}")
    found: list[tuple[Any, ...]] = _run(query.format(sql.Literal(number)), using)
    return found[0][0] if found else None


def _read(ids: Sequence[int], using: str) -> list[ChangeStatement]:
    """These statements in this order, without what no list shows."""
    statements = ChangeStatement.objects.using(using).select_related("tracked", "context", "event")
    light = statements.defer("context__extra", "context__user_agent", "event__detail")
    found = light.in_bulk(list(ids))
    return [found[number] for number in ids if number in found]


def _equal(column: str, value: str | int) -> sql.Composable:
    # As an array: a plain equality would make the order by this column meaningless, see `_by`.
    return sql.SQL("{} = ANY ({})").format(sql.Identifier(column), sql.Literal([value]))


def _operation(value: str) -> sql.Composable:
    return sql.SQL("operation = {}").format(sql.Literal(value))


def _moment(value: datetime) -> sql.Composable:
    return sql.SQL("{}::timestamptz").format(sql.Literal(value))


def _run(query: sql.Composable, using: str) -> list[tuple[Any, ...]]:
    """In the order of the indexes, whatever the planner thinks of it."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        set_local(dict.fromkeys(_UNORDERED, "off"), using=using)
        cursor.execute(query)
        found = list(cursor.fetchall())
        set_local(dict.fromkeys(_UNORDERED, "on"), using=using)
    return found
