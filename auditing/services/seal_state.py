"""Is the log sealed and proved? One answer, for pages, the overview and the doctor.

It costs the same however long the log is: a few rows by their indexes, and the last line of the
file of anchors.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.db import connections
from django.utils import timezone

from auditing.exceptions import AnchorUnusable, Rewound
from auditing.models import SealBlock, SealPosition, SummaryPosition, TrackedTable
from auditing.services.anchors import SignedAnchor, anchor_last, rewind_check
from auditing.services.audit_verify import AUDIT_VERIFY
from operations.models import Run
from operations.runs.states import RunState

LATE = timedelta(minutes=5)
"""Beat seals every half minute: a change that waits longer is worth an alert."""
_RUNS = 50
"""Verifications that are looked back through for one of the whole log."""

# The transactions that the last pass of the sealer did not see as ended: those which it saw open,
# and those which began later. Apart from each other, so that the index of their numbers finds both.
_UNSEALED = """
WITH p AS (
    SELECT NULLIF(snapshot, '')::pg_snapshot AS seen FROM custody.auditing_sealposition
    UNION ALL SELECT NULL WHERE NOT EXISTS (SELECT FROM custody.auditing_sealposition)
)
SELECT min(found.at) FROM p CROSS JOIN LATERAL (
    SELECT COALESCE(t.committed_at, t.first_at) AS at
    FROM custody.auditing_changetransaction AS t
    WHERE t.xid = ANY (ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(p.seen) AS x))
    UNION ALL
    (SELECT COALESCE(t.committed_at, t.first_at)
     FROM custody.auditing_changetransaction AS t
     WHERE t.xid >= COALESCE(pg_snapshot_xmax(p.seen)::text::bigint, 0)
     ORDER BY t.xid LIMIT 1)
) AS found
"""
_NUMBERED = "SELECT last_value FROM custody.audit_statement_seq WHERE is_called"


@dataclass(frozen=True)
class Verification:
    """What is known of the log by the last look at all of it, and by those at parts since."""

    run: Run
    """The one to show: that with findings, else that of all, else the newest of a part."""
    findings: int
    whole: bool
    """Of the whole log."""


@dataclass(frozen=True)
class SealState:
    """How far sealing is, and what the last verification said."""

    last: SealBlock | None
    """The newest block, without its header."""
    sealed_until: datetime | None
    """What had committed by then is sealed; None: nothing is."""
    waiting_since: datetime | None
    """When the oldest change that waits to be sealed was committed; None: none waits."""
    anchor: SignedAnchor | None
    """The last line of the file."""
    stored: int
    """The last block with an anchor in the storage; 0: none has."""
    stored_at: datetime | None
    rewound: str
    """That the database stands behind its last anchor, in a sentence; empty: it does not."""
    anchor_problem: str
    """Why the anchors cannot be read; empty when they can."""
    verification: Verification | None

    @property
    def is_late(self) -> bool:
        return self.waiting_since is not None and timezone.now() - self.waiting_since > LATE

    @property
    def level(self) -> Literal["danger", "warning", "success", ""]:
        """As colours go; empty: nothing was ever sealed, and nothing waits."""
        if self.rewound or (self.verification is not None and self.verification.findings):
            return "danger"
        if self.is_late or self.anchor_problem:
            return "warning"
        return "success" if self.last is not None else ""


def seal_state() -> SealState:
    """As it is now, of the log in the console's own database."""
    position = SealPosition.objects.first()
    last = SealBlock.objects.defer("header").order_by("-number").first()
    anchor, rewound, problem = _anchored(position)
    return SealState(
        last=last,
        sealed_until=position.at if position is not None and position.snapshot else None,
        waiting_since=_waiting_since(),
        anchor=anchor,
        stored=position.anchored if position is not None else 0,
        stored_at=position.anchored_at if position is not None else None,
        rewound=rewound,
        anchor_problem=problem,
        verification=verification_last(),
    )


def verification_last() -> Verification | None:
    """None: the log was never verified."""
    runs = (
        Run.objects.filter(kind=AUDIT_VERIFY, finished_at__isnull=False)
        .defer("cursor", "parameters")
        .order_by("-id")[:_RUNS]
    )
    newest: Run | None = None
    whole: Run | None = None
    found: Run | None = None
    for run in runs:
        if run.result.get("findings"):
            found = found or run
        if run.current is not RunState.SUCCEEDED:
            continue
        newest = newest or run
        if run.plan.get("table") == "all" and run.plan.get("since") == "the beginning":
            whole = run
            break
    shown = found or whole or newest
    if shown is None:
        return None
    return Verification(shown, shown.result.get("findings", 0), whole=shown == whole)


def _anchored(position: SealPosition | None) -> tuple[SignedAnchor | None, str, str]:
    if position is None:
        return None, "", ""
    try:
        anchor = anchor_last(position.chain)
        rewind_check(position)
    except Rewound as error:
        return anchor, str(error), ""
    except AnchorUnusable as error:
        return None, "", str(error)
    return anchor, "", ""


def _waiting_since() -> datetime | None:
    with connections["default"].cursor() as cursor:
        cursor.execute(_UNSEALED)
        moments: list[datetime | None] = [at for (at,) in cursor.fetchall()]
        # Statements of which there is no line yet: there are new ones since the last pass.
        summarised = SummaryPosition.objects.first()
        cursor.execute(_NUMBERED)
        row = cursor.fetchone()
        if row is not None and row[0] > (summarised.numbered if summarised is not None else 0):
            moments.append(summarised.at if summarised is not None else _first_tracked_at())
    return min((at for at in moments if at is not None), default=None)


def _first_tracked_at() -> datetime | None:
    found = TrackedTable.objects.order_by("tracked_at").first()
    return found.tracked_at if found is not None else None
