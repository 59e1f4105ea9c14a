"""Contexts by what they say: a request id, words of a reason. However many, in bounded time.

Words that many reasons have are found by walking back through the newest reasons, rare ones by the
index of words. Neither is asked for longer than a page may take: then the page says how far back
it has looked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import OperationalError, connections, transaction
from psycopg import sql

from auditing.selectors.log_filter import LogFilter
from operations.session import set_local

MOST = 2_000
"""Contexts that one page of the log follows."""
WALKED = (2_000, 6_000)
"""Reasons that are walked through first, and when the index has too many to tell."""
ENOUGH = 60
"""So many found while walking fill a page."""
PATIENCE = "100ms"
"""Of the index of words."""
_WORD = re.compile(r"\w+")
_WORDS = sql.SQL(
    "to_tsvector('simple'::regconfig, COALESCE(regexp_replace(reason, '\\W+', ' ', 'g'), ''))"
)
"""As the index `context_reason` has it."""


@dataclass(frozen=True)
class Contexts:
    ids: list[int]
    """Newest first."""
    looked_to: int | None
    """The id down to which all were looked at; None: there are no older ones."""


def contexts_found(asked: LogFilter, *, not_after: int | None, using: str = "default") -> Contexts:
    """The newest contexts, from `not_after` back, with the request id and the reason."""
    upper = not_after if not_after is not None else 2**62
    if asked.request_id:
        return _by_request(asked, upper, using)
    return _by_reason(asked.reason, upper, using)


def reason_is(reason: str) -> sql.Composable:
    """A condition on a row of contexts: each word of `reason` begins a word of its reason."""
    words = _WORD.findall(reason.lower())
    if not words:
        return sql.SQL("false")
    query = " & ".join(f"'{word}':*" for word in words)
    return sql.SQL("(reason <> '' AND {} @@ to_tsquery('simple', {}))").format(
        _WORDS, sql.Literal(query)
    )


def _by_request(asked: LogFilter, upper: int, using: str) -> Contexts:
    more = sql.SQL(" AND {}").format(reason_is(asked.reason)) if asked.reason else sql.SQL("")
    ids = _ids(
        sql.SQL(
            "SELECT id FROM custody.auditing_changecontext WHERE request_id = {} AND"
            " request_id <> '' AND id <= {}{} ORDER BY id DESC LIMIT {}"
        ).format(sql.Literal(asked.request_id), sql.Literal(upper), more, sql.Literal(MOST)),
        using,
    )
    return Contexts(ids, ids[-1] if len(ids) == MOST else None)


def _by_reason(reason: str, upper: int, using: str) -> Contexts:
    condition = reason_is(reason)
    walked = _walk(condition, upper, WALKED[0], using)
    if walked.looked_to is None or len(walked.ids) >= ENOUGH:
        return walked
    try:
        with transaction.atomic(using=using):
            set_local({"statement_timeout": PATIENCE}, using=using)
            ids = _ids(
                sql.SQL(
                    # Fenced off: the planner knows nothing of words that are only begun.
                    "SELECT id FROM (SELECT id FROM custody.auditing_changecontext WHERE {}"
                    " OFFSET 0) fitting WHERE id <= {} ORDER BY id DESC LIMIT {}"
                ).format(condition, sql.Literal(upper), sql.Literal(MOST)),
                using,
            )
            set_local({"statement_timeout": "0"}, using=using)
    except OperationalError:
        return _walk(condition, upper, WALKED[1], using)
    return Contexts(ids, ids[-1] if len(ids) == MOST else None)


def _walk(condition: sql.Composable, upper: int, most: int, using: str) -> Contexts:
    """Those that fit among the newest `most` reasons."""
    query = sql.SQL(
        "SELECT id, {fits} FROM (SELECT id, reason FROM custody.auditing_changecontext"
        " WHERE reason <> '' AND id <= {upper} ORDER BY id DESC LIMIT {most}) newest"
        " ORDER BY id DESC"
    ).format(fits=condition, upper=sql.Literal(upper), most=sql.Literal(most))
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    ids = [number for number, fits in found if fits]
    return Contexts(ids[:MOST], _end(ids, found[-1][0] if len(found) == most else None))


def _end(ids: list[int], end: int | None) -> int | None:
    return ids[MOST - 1] if len(ids) > MOST else end


def _ids(query: sql.Composable, using: str) -> list[int]:
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return [number for (number,) in cursor.fetchall()]
