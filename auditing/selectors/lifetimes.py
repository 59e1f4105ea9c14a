"""Which versions are of one record, when its key was changed: what it was before, and became.

Two records may have had one key, one after the other, and one record several keys. From a record's
versions under one key the chain is followed by the statements that changed the key: those under
the other key, from when it came to when it went, are the same record's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connections
from psycopg import sql

from auditing.selectors.images import Shape
from auditing.selectors.keys import key_is, key_values, record_id_of
from auditing.selectors.redactable import RECORDS, WHOLE, Stretch, keys_are

_WENT = ("D", "T", "R")


class _Turn(NamedTuple):
    """A version with which a record came under a key, or went from it."""

    seq: int
    op: str
    statement: int
    was: str | None
    now: str | None


@dataclass(frozen=True)
class _Lifetime:
    """Of one record under one key."""

    key: str
    first: int
    last: int
    came: _Turn | None
    """By a change of key."""
    went: _Turn | None


def stretches_of(shape: Shape, record_ids: Sequence[str], *, using: str) -> list[Stretch]:
    """All versions under these keys, and those of the same records under former and later keys."""
    wanted = dict.fromkeys(record_ids)
    found = {key: [Stretch(key, *WHOLE)] for key in wanted}
    seen: set[tuple[str, int]] = set()
    todo = [
        (key, life)
        for key in _rekeyed(shape, list(wanted), using=using)
        for life in _lifetimes(shape, key, using=using)
    ]
    while todo:
        key, life = todo.pop()
        if (key, life.first) in seen:
            continue
        seen.add((key, life.first))
        if key not in wanted:
            found.setdefault(key, []).append(Stretch(key, life.first, life.last))
        todo += _next(shape, life, using=using)
    return [stretch for stretches in found.values() for stretch in stretches]


def _next(shape: Shape, life: _Lifetime, *, using: str) -> Iterator[tuple[str, _Lifetime]]:
    if life.came is not None and life.came.was is not None:
        for other in _lifetimes(shape, life.came.was, using=using):
            went = other.went
            if went and (went.statement, went.now) == (life.came.statement, life.key):
                yield other.key, other
    if life.went is not None and life.went.now is not None:
        for other in _lifetimes(shape, life.went.now, using=using):
            came = other.came
            if came and (came.statement, came.was) == (life.went.statement, life.key):
                yield other.key, other


def _rekeyed(shape: Shape, record_ids: Sequence[str], *, using: str) -> list[str]:
    """Those whose key was ever changed."""
    found: list[str] = []
    for start in range(0, len(record_ids), RECORDS):
        query = sql.SQL(
            "SELECT DISTINCT {record} FROM {history} h"
            " WHERE {keys} AND (h.rest ->> 'was' IS NOT NULL OR h.rest ->> 'now' IS NOT NULL)"
        ).format(
            record=record_id_of(shape),
            history=shape.history,
            keys=keys_are(shape, record_ids[start : start + RECORDS]),
        )
        with connections[using].cursor() as cursor:
            cursor.execute(query)
            found += [key for (key,) in cursor.fetchall()]
    return found


def _lifetimes(shape: Shape, key: str, *, using: str) -> list[_Lifetime]:
    query = sql.SQL(
        "SELECT h.seq, h.op::pg_catalog.text, h.statement, h.rest ->> 'was', h.rest ->> 'now'"
        " FROM {history} h WHERE {key} AND h.op <> 'C'"
        " AND (h.op = ANY ({went}::\"char\"[]) OR h.rest ->> 'was' IS NOT NULL) ORDER BY h.seq"
    ).format(
        history=shape.history,
        key=key_is(shape, key_values(shape, key)),
        went=sql.Literal(list(_WENT)),
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        turns = [_Turn(*row) for row in cursor.fetchall()]
    lives: list[_Lifetime] = []
    first, came = 0, None
    for turn in turns:
        if turn.op in _WENT:
            lives.append(_Lifetime(key, first, turn.seq, came, turn))
            first, came = turn.seq + 1, None
        else:
            came = turn
    return [*lives, _Lifetime(key, first, WHOLE[1], came, None)]
