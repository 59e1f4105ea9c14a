"""What one pass of the sealer has to seal: what one snapshot sees and the one before did not.

A plan is a list of pieces, JSON in the position, from which a step takes from the front:

- {"form": "version", "tracked", "after", "upto", "since"}: versions by their numbers,
- {"form": "image", "tracked", "after", "upto", "since"}: images of a baseline, by their statements,
- {"form": "carried", "removal"}: what one step of a purge carried forward,
- {"form": "row", "source", "after"}: rows of a table of ours, by their keys.

Versions are found by the lines that `statement_summarise` made of them, which has been there first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connections
from psycopg import sql

from auditing.models import Removal, SealPosition, TrackedTable
from auditing.selectors.images import history_exists
from auditing.selectors.sealed_rows import ROWS
from operations.catalogue.identifiers import Identifier

Piece = dict[str, Any]
CLOCKS = timedelta(days=1)
"""By which clocks may have been set since."""

_BETWEEN = """
SELECT pg_snapshot_xmax(p.target::pg_snapshot)::text::bigint,
    ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(p.target::pg_snapshot) AS x),
    COALESCE(pg_snapshot_xmax(l.last)::text::bigint, 0),
    ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(l.last) AS x)
FROM custody.auditing_sealposition AS p
CROSS JOIN LATERAL (SELECT NULLIF(p.snapshot, '')::pg_snapshot AS last) AS l
"""
_VERSIONS = sql.SQL("""
SELECT s.tracked_id, min(s.first_seq) - 1, max(s.last_seq), min(s.at)::text
FROM custody.auditing_changestatement AS s
WHERE {new} AND s.operation <> 'P' AND s.first_seq IS NOT NULL
GROUP BY s.tracked_id
ORDER BY s.tracked_id
""")
_IMAGES = sql.SQL("""
SELECT min(h.statement) - 1, max(h.statement)
FROM {history} AS h
WHERE h.op = 'B' AND h.at >= %s::timestamptz AND {new}
""")


@dataclass(frozen=True)
class Between:
    """Two snapshots, as numbers of transactions in the log."""

    xmax: int
    open: list[int]
    last_xmax: int
    last_open: list[int]

    def new(self, xid: sql.Composable) -> sql.Composable:
        """The later one sees the transaction, the earlier one did not."""
        later = sql.SQL(
            "({xid} >= {last} AND {xid} < {xmax} AND {xid} <> ALL ({open}::bigint[]))"
        ).format(
            xid=xid,
            last=sql.Literal(self.last_xmax),
            xmax=sql.Literal(self.xmax),
            open=sql.Literal(self.open),
        )
        if not self.last_open:
            return later
        ended = sql.SQL(
            "({xid} = ANY ({last_open}::bigint[]) AND {xid} <> ALL ({open}::bigint[]))"
        ).format(xid=xid, last_open=sql.Literal(self.last_open), open=sql.Literal(self.open))
        return sql.SQL("({} OR {})").format(later, ended)


def between(*, using: str) -> Between:
    """Of the pass under way."""
    with connections[using].cursor() as cursor:
        cursor.execute(_BETWEEN)
        return Between(*cursor.fetchone())


def seal_plan(position: SealPosition, *, using: str) -> list[Piece]:
    """Everything of the pass whose target was just taken; notes the baselines under way."""
    window = between(using=using)
    pieces = [*_versions(window, using), *_images(position, window, using)]
    with connections[using].cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT id FROM custody.auditing_removal r WHERE {} AND r.kind = %s ORDER BY id"
            ).format(window.new(Identifier("r", "xid"))),
            [Removal.Kind.CARRIED],
        )
        pieces += [{"form": "carried", "removal": pk} for (pk,) in cursor.fetchall()]
    return pieces + [{"form": "row", "source": each.table, "after": -1} for each in ROWS]


def _versions(window: Between, using: str) -> list[Piece]:
    with connections[using].cursor() as cursor:
        cursor.execute(_VERSIONS.format(new=window.new(Identifier("s", "xid"))))
        return [
            {
                "form": "version",
                "tracked": tracked,
                "after": after,
                "upto": upto,
                "since": since,
            }
            for tracked, after, upto, since in cursor.fetchall()
        ]


def _images(position: SealPosition, window: Between, using: str) -> list[Piece]:
    """Images have the time of their baseline, which may have begun long ago and ended since."""
    pieces: list[Piece] = []
    going: dict[str, str] = {}
    recent = (position.at - CLOCKS) if position.snapshot else None
    for tracked in TrackedTable.objects.using(using).exclude(baseline_at=None).order_by("id"):
        noted = position.baselines.get(str(tracked.pk))
        began = min(at for at in (tracked.baseline_first_at, tracked.baseline_at) if at)
        if noted is None and recent is not None:
            if tracked.baseline_seq is None and began < recent:
                continue
            began = min(began, recent)
        since = noted or began.isoformat()
        if tracked.baseline_seq is not None or window.open:
            going[str(tracked.pk)] = since
        if not history_exists(tracked):
            continue
        with connections[using].cursor() as cursor:
            cursor.execute(
                _IMAGES.format(history=tracked.history.sql, new=window.new(Identifier("h", "xid"))),
                [since],
            )
            after, upto = cursor.fetchone()
        if upto is not None:
            pieces.append(
                {
                    "form": "image",
                    "tracked": tracked.pk,
                    "after": after,
                    "upto": upto,
                    "since": since,
                }
            )
    position.baselines = going
    return pieces
