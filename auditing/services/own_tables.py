"""The console's own tables are audited like others: who changed a policy, a hold, a user.

Looked at by each start and by the watch, so that a table of a new version is audited too; done
already, it is one query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import connections, transaction

from auditing.models import TrackedTable
from auditing.services.baseline import AUDIT_BASELINE, baseline_start
from auditing.services.track import OWN_TABLES_NOT_AUDITED, TrackTerms, table_track
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.exceptions import CustodyError
from operations.models import Run
from operations.selectors.runs import run_open_for

REASON = "The console's own tables are audited."
NOISE = frozenset(
    {
        # When beat last began a job, and that some schedule changed: its bookkeeping.
        "operations_scheduledjob",
        "django_celery_beat_periodictasks",
        # Measured each morning, by nobody.
        "retention_tablemeasure",
        "retention_policymeasure",
        # Counts, and values that the versions of the tables themselves have.
        "retention_deletiontable",
        "retention_severedreference",
        # The names of the program's own models.
        "django_content_type",
    }
)
MASKED = {"auth_user": ("password",)}
"""That somebody got another password is kept, and never its hash."""
BOOKKEEPING = {
    # Lease, heartbeat and progress: a version for each step would bury the decisions.
    "operations_run": (
        "cursor", "done", "total", "active_seconds", "losses", "fence", "worker", "backend_pid",
        "backend_start", "lease_until", "heartbeat_at", "dispatched_at", "started_at",
    ),
    "operations_alert": ("mailed_at",),
    "django_celery_beat_periodictask": ("last_run_at", "total_run_count", "date_changed"),
}  # fmt: skip
"""A change of these alone makes no version; what does has them in its image."""
MOST_AT_ONCE = 50_000
"""Rows whose images are taken in one transaction; more are left to a run."""
_LOCK = 6_231_408_355_112_770_002
"""Of the advisory lock: one process at a time."""

_MISSING = """
SELECT c.relname FROM pg_catalog.pg_class c
WHERE c.relnamespace = 'custody'::pg_catalog.regnamespace
  AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT pg_catalog.starts_with(c.relname, 'auditing_') AND c.relname <> ALL (%(without)s)
  -- Whoever ended the audit of one meant it.
  AND NOT EXISTS (SELECT FROM custody.auditing_trackedtable t
                  WHERE t.database = %(using)s AND t.table_oid = c.oid
                    AND (t.untracked_at IS NULL OR NOT %(again)s))
ORDER BY c.relname
"""


@dataclass(frozen=True)
class OwnTables:
    """What one pass did."""

    tracked: list[TrackedTable] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What could not be done, in sentences: the next pass tries again."""
    runs: list[Run] = field(default_factory=list)
    """Take the images of tables that are large: they want a worker."""


def own_tables_missing(*, again: bool = False, using: str = "default") -> list[TableName]:
    """The console's tables that should be audited and are not.

    Args:
        again: also those whose audit somebody ended.
    """
    without = sorted(NOISE | OWN_TABLES_NOT_AUDITED)
    with connections[using].cursor() as cursor:
        cursor.execute(_MISSING, {"without": without, "using": using, "again": again})
        return [TableName("custody", name) for (name,) in cursor.fetchall()]


def own_tables_track(*, actor: User, again: bool = False, using: str = "default") -> OwnTables:
    """Begins the audit of those that have none. What an update changes, `audit_watch` follows.

    Another process that does the same at this moment is left to it: then nothing is done here.
    """
    done = OwnTables()
    with _alone(using) as alone:
        if not alone:
            return done
        for name in own_tables_missing(again=again, using=using):
            try:
                tracked = table_track(
                    name, actor=actor, reason=REASON, terms=_terms(name, using), using=using
                )
            except CustodyError as error:
                done.left.append(str(error))
            else:
                done.tracked.append(tracked)
        for tracked in TrackedTable.objects.filter(
            database=using, schema_name="custody", untracked_at=None
        ).exclude(baseline_seq=None):
            if (run := _baseline(tracked, actor)) is not None:
                done.runs.append(run)
    return done


def _terms(name: TableName, using: str) -> TrackTerms:
    bookkeeping = BOOKKEEPING.get(name.name, ())
    columns = read_table(name, using=using).columns
    return TrackTerms(
        mask=MASKED.get(name.name, ()),
        significant=[each.name for each in columns if each.name not in bookkeeping]
        if bookkeeping
        else (),
    )


def _baseline(tracked: TrackedTable, actor: User) -> Run | None:
    """The images of what was there. Small as most of these tables are, without a run."""
    using = tracked.database
    if run_open_for(kind=AUDIT_BASELINE, subject=str(tracked.table)) is not None:
        return None
    if read_table(tracked.table, using=using).estimated_rows > MOST_AT_ONCE:
        return baseline_start(tracked, requester=actor, reason=REASON)
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT custody.audit_baseline(%s, %s::pg_catalog.oid, 'true')",
            [tracked.pk, tracked.table_oid],
        )
        tracked.baseline_seq = None
        tracked.save(update_fields=["baseline_seq"])
        cursor.execute("SELECT custody.capture_make(%s)", [tracked.pk])
    return None


@contextmanager
def _alone(using: str) -> Iterator[bool]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", [_LOCK])
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        if alone:
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [_LOCK])
