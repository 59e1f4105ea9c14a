"""One line a statement and one a transaction, made of what the history shows since the last time.

Invariants:
- A statement is summarised by exactly one pass: what the snapshot of this pass sees and that of the
  last one did not. A transaction that stays open for hours delays its own lines and no others.
- A pass goes on in steps of one short transaction each, and a step moves the position with its
  work: whoever is killed, the next caller takes over where it stood.

Source: PostgreSQL's manual, 9.27.11 "Transaction ID and Snapshot Information Functions".
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connections, transaction
from psycopg import errors, sql

from auditing.models import SummaryPosition
from auditing.services.cluster_adopt import cluster_adopt
from auditing.services.summary_index import summary_index
from operations.catalogue.identifiers import Identifier
from operations.session import set_local

STATEMENT_SUMMARISE = "auditing.statement_summarise"

LOCK = 0x6375_7374_0004
"""Of the advisory lock under which a step reads and moves the position."""
PATIENCE = "5s"
"""So long a caller waits for another's step before it leaves the work to it."""
TABLES = 100
"""Histories that one step looks at: each takes a few of the server's locks."""
STATEMENTS = 20_000
"""Numbers of statements that one step looks at: however much there is to do, no step is long."""

_BEGIN = """
INSERT INTO custody.auditing_summaryposition
    AS p (id, snapshot, at, open_since, target, target_at, numbered, target_numbered, above, upto,
          reached)
SELECT 1, '', now(), '{}', custody.audit_snapshot()::text, now(), 0, q.last_value, 0, %(size)s, 0
FROM custody.audit_statement_seq AS q
ON CONFLICT (id) DO UPDATE SET target = excluded.target, target_at = excluded.target_at,
    target_numbered = excluded.target_numbered, above = p.numbered,
    upto = p.numbered + %(size)s, reached = 0
"""
_HISTORIES = """
SELECT t.id, t.history_name
FROM custody.auditing_trackedtable AS t
WHERE t.database = %s AND t.id > %s
    AND to_regclass(format('history.%%I', t.history_name)) IS NOT NULL
ORDER BY t.id
LIMIT %s
"""
# The numbers of transactions that the last pass did not see as ended, and this one does: those that
# began later, and those that were open. They are written out, and not asked of
# pg_visible_in_snapshot(), and apart from each other, and not with OR: so the index finds them also
# in a partition without statistics.
_LATER = sql.SQL(
    "h.xid >= %(last_xmax)s AND h.xid < %(xmax)s AND h.xid <> ALL (%(open)s::bigint[])"
)
# Between two numbers, because an index over ranges of pages is not asked for = ANY alone: every
# page would be read. Each pair by itself, because a transaction may have been open for hours.
_ENDED = sql.SQL("h.xid BETWEEN e.first AND e.last AND h.xid = ANY (%(ended)s::bigint[])")
_EACH_ENDED = sql.SQL("""
SELECT f.*
FROM unnest(%(ended_first)s::bigint[], %(ended_last)s::bigint[]) AS e (first, last)
CROSS JOIN LATERAL ({found}) AS f
""")
NEAR = 100
"""Transactions whose numbers are at most so far apart are looked for together."""
# Of a key that changed there are two versions, R and U: it is one row of an UPDATE.
_FOUND = sql.SQL("""
SELECT {tracked}::bigint AS tracked_id, h.statement, h.layout, h.xid,
    CASE WHEN bool_or(h.op IN ('U', 'R')) THEN 'U' ELSE min(h.op::text) END AS operation,
    count(*) FILTER (WHERE h.op <> 'R') AS rows,
    min(h.at) AS at, min(h.seq) AS first_seq, max(h.seq) AS last_seq,
    bit_or(h.changed) AS changed,
    min(h.context) AS context, min(h.db_user) AS db_user, min(h.client) AS client
FROM {history} AS h
WHERE {new} AND h.op IN ('I', 'U', 'D', 'T', 'R')
    AND h.statement > %(above)s AND h.statement <= %(upto)s
    AND h.at >= %(since)s::timestamptz AND h.at <= %(until)s::timestamptz
GROUP BY h.statement, h.layout, h.xid
""")
_STATEMENTS = sql.SQL("""
WITH found AS ({found}),
named AS (
    SELECT f.*, ARRAY(
        SELECT l.names[i] FROM generate_series(1, length(f.changed)) AS i
        WHERE get_bit(f.changed, i - 1) = 1
        ORDER BY i
    ) AS names
    FROM found AS f LEFT JOIN custody.auditing_layout AS l ON l.id = f.layout
),
made AS (
    INSERT INTO custody.auditing_changestatement
        (id, tracked_id, operation, xid, at, rows, first_seq, last_seq, changed, actor, context_id,
         "session_user", client_addr)
    SELECT n.statement, n.tracked_id, n.operation, n.xid, n.at, n.rows, n.first_seq, n.last_seq,
        n.names, COALESCE(NULLIF(c.actor, ''), 'db:' || n.db_user), c.id, n.db_user, n.client
    FROM named AS n LEFT JOIN custody.auditing_changecontext AS c
        -- Of another transaction it is somebody else's: anybody can set a number.
        ON c.id = n.context AND c.xid = n.xid
    RETURNING *
),
whole AS (
    INSERT INTO custody.auditing_changetransaction AS t
        (xid, first_at, committed_at, statements, rows, actor, context_id)
    SELECT m.xid, min(m.at), {committed}, count(*), sum(m.rows),
        (array_agg(m.actor ORDER BY m.context_id IS NULL, m.id))[1],
        (array_agg(m.context_id ORDER BY m.context_id IS NULL, m.id))[1]
    FROM made AS m
    GROUP BY m.xid
    -- Another step had others of its statements, or a purge wrote its own line.
    ON CONFLICT (xid) DO UPDATE SET
        first_at = LEAST(t.first_at, excluded.first_at),
        committed_at = COALESCE(excluded.committed_at, t.committed_at),
        statements = t.statements + excluded.statements,
        rows = t.rows + excluded.rows,
        actor = CASE WHEN t.context_id IS NULL AND excluded.context_id IS NOT NULL
            THEN excluded.actor ELSE t.actor END,
        context_id = COALESCE(t.context_id, excluded.context_id)
)
SELECT tracked_id, count(*) FROM made GROUP BY tracked_id
""")
_UNION = sql.SQL(" UNION ALL ")
_COMMITTED = {
    # Of another cluster, before a restore, this one knows nothing.
    "on": sql.SQL(
        "(SELECT CASE WHEN m.xid > n.xid_offset"
        " THEN pg_xact_commit_timestamp((m.xid - n.xid_offset)::text::xid8::xid) END"
        " FROM custody.auditing_numbering AS n)"
    ),
    "off": sql.SQL("NULL::timestamptz"),
}
# Since when a transaction that is open may have written: since the pass before the one that did not
# know it yet. A snapshot does not name those which began last, however long ago; but a pass is a
# transaction itself, and so everything beyond the next one's snapshot began after it.
_END = """
UPDATE custody.auditing_summaryposition AS p
SET snapshot = p.target, at = p.target_at,
    before_at = CASE WHEN p.snapshot <> '' THEN p.at END,
    target = '', target_at = NULL, numbered = p.target_numbered, above = 0, upto = 0, reached = 0,
    open_since = COALESCE((
        SELECT jsonb_object_agg(x::text, CASE
            WHEN p.open_since ? x::text THEN p.open_since -> x::text
            ELSE to_jsonb(p.before_at) END)
        FROM pg_snapshot_xip(p.target::pg_snapshot) AS x), '{}')
"""
_NEXT_TABLES = "UPDATE custody.auditing_summaryposition SET reached = %s"
_NEXT_STATEMENTS = """
UPDATE custody.auditing_summaryposition SET above = upto, upto = upto + %s, reached = 0
"""
_NO_END = 2**63 - 1


@dataclass(frozen=True)
class _Step:
    began: bool
    """It took the snapshot of a pass."""
    ended: bool
    added: int = 0
    histories: tuple[str, ...] = ()
    """That have lines of this step."""


def statement_summarise(*, within: float | None = None, using: str = "default") -> int:
    """Makes the lines of everything that had committed when it was called; how many it made.

    Two callers share the work. One that waits over PATIENCE for the other leaves it to it. Not to
    be called in a transaction: raises RuntimeError.

    In a database that was restored, its tables are found again first; while one cannot be, nothing
    is made.

    Args:
        within: seconds after which the rest is left to whoever comes next.
    """
    if not cluster_adopt(using=using).complete:
        # By numbers of another cluster it would take rows for told that are not.
        return 0
    added, began, touched = 0, False, set[str]()
    start = time.monotonic()
    try:
        while True:
            step = _step(using)
            added += step.added
            touched.update(step.histories)
            began = began or step.began
            if step.ended and began:
                break
            if within is not None and time.monotonic() - start > within:
                break
    except OperationalError as error:
        if not isinstance(error.__cause__, errors.LockNotAvailable):
            raise
    summary_index(sorted(touched), using=using)
    return added


def _step(using: str) -> _Step:
    with transaction.atomic(using=using, durable=True), connections[using].cursor() as cursor:
        set_local({"lock_timeout": PATIENCE}, using=using)
        cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", [LOCK])
        # A new partition has no statistics, by which its index would seem of no use.
        set_local({"enable_seqscan": "off"}, using=using)
        began = not SummaryPosition.objects.using(using).exclude(target="").exists()
        if began:
            cursor.execute(_BEGIN, {"size": STATEMENTS})
        position = SummaryPosition.objects.using(using).get()
        cursor.execute(_HISTORIES, [using, position.reached, TABLES])
        histories: list[tuple[int, str]] = cursor.fetchall()
        window = _window(cursor, position)
        added, touched = _statements(cursor, histories, window)
        ended = False
        if len(histories) == TABLES:
            cursor.execute(_NEXT_TABLES, [histories[-1][0]])
        elif window["upto"] < _NO_END:
            cursor.execute(_NEXT_STATEMENTS, [STATEMENTS])
        else:
            cursor.execute(_END)
            ended = True
        return _Step(began, ended, added, touched)


def _window(cursor: Any, position: SummaryPosition) -> dict[str, Any]:
    """What the statements are bound with: both snapshots, and between which times new rows are.

    A day is added on either side for clocks that are set. By the times other partitions are left
    out before they are even opened.
    """
    cursor.execute(
        """
        SELECT pg_snapshot_xmax(p.target::pg_snapshot)::text::bigint,
            ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(p.target::pg_snapshot) AS x),
            COALESCE(pg_snapshot_xmax(l.last)::text::bigint, 0),
            ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(l.last) AS x),
            CASE WHEN p.before_at IS NULL OR EXISTS (
                SELECT FROM jsonb_each(p.open_since) AS o WHERE o.value = 'null'
            ) THEN '-infinity' ELSE (LEAST(p.before_at, (
                SELECT min(o.value::timestamptz) FROM jsonb_each_text(p.open_since) AS o
            )) - interval '1 day')::text END,
            (now() + interval '1 day')::text
        FROM custody.auditing_summaryposition AS p
        CROSS JOIN LATERAL (SELECT NULLIF(p.snapshot, '')::pg_snapshot AS last) AS l
        """
    )
    names = ("xmax", "open", "last_xmax", "last_open", "since", "until")
    window = dict(zip(names, cursor.fetchone(), strict=True))
    window["ended"] = sorted(set(window["last_open"]) - set(window["open"]))
    window["ended_first"], window["ended_last"] = _stretches(window["ended"])
    # Whoever was open the last time may have a lower number than any that is new.
    window["above"] = position.above if position.above > position.numbered else -1
    more = position.upto < position.target_numbered
    window["upto"] = position.upto if more else _NO_END
    return window


def _statements(
    cursor: Any, histories: list[tuple[int, str]], window: dict[str, Any]
) -> tuple[int, tuple[str, ...]]:
    if not histories:
        return 0, ()
    found = [each for tracked, name in histories for each in _found(tracked, name, window)]
    cursor.execute("SELECT pg_catalog.current_setting('track_commit_timestamp')")
    [kept] = cursor.fetchone()
    statement = _STATEMENTS.format(found=_UNION.join(found), committed=_COMMITTED[kept])
    cursor.execute(statement, window)
    made = dict(cursor.fetchall())
    return sum(made.values()), tuple(name for tracked, name in histories if tracked in made)


def _found(tracked: int, name: str, window: dict[str, Any]) -> Iterator[sql.Composed]:
    terms = {"tracked": sql.Literal(tracked), "history": Identifier("history", name)}
    yield _FOUND.format(new=_LATER, **terms)
    if window["ended"]:
        yield _EACH_ENDED.format(found=_FOUND.format(new=_ENDED, **terms))


def _stretches(numbers: Sequence[int]) -> tuple[list[int], list[int]]:
    """The first and the last of each series of numbers that are near each other."""
    first: list[int] = []
    last: list[int] = []
    for number in numbers:
        if last and number - last[-1] <= NEAR:
            last[-1] = number
        else:
            first.append(number)
            last.append(number)
    return first, last
