"""What else concerns exported versions: events, removals, redactions, certificates."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from django.db import DataError, connections, transaction
from psycopg import sql

from auditing.models import AuditEvent, RedactedValue, Removal, TrackedTable
from auditing.selectors.images import history_exists
from auditing.selectors.queries import pin
from operations.models import Certificate

_AT_ONCE = 1_000


def numbers_of(
    tracked: TrackedTable, where: sql.Composable, *, using: str
) -> tuple[array[int], array[int]]:
    """The numbers of a record's versions and those of their statements, sorted.

    None where the key was of another type then, which the record id does not fit.
    """
    if not history_exists(tracked):
        return array("q"), array("q")
    query = sql.SQL("SELECT h.seq, h.statement FROM {} AS h WHERE {}").format(
        tracked.history.sql, where
    )
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            pin(using=using)
            cursor.execute(query)
            rows = cursor.fetchall()
    except DataError:
        rows = []
    return (
        array("q", sorted({seq for seq, _ in rows})),
        array("q", sorted({statement for _, statement in rows})),
    )


def events_of(
    tables: Sequence[int], *, redaction_runs: Sequence[int] | None, using: str
) -> list[int]:
    """The ids of the tables' events, sorted.

    Args:
        redaction_runs: of redactions only those of these runs; None: all.
    """
    found = AuditEvent.objects.using(using).filter(tracked_id__in=tables)
    if redaction_runs is not None:
        others = found.exclude(kind=AuditEvent.Kind.REDACT)
        found = others | found.filter(kind=AuditEvent.Kind.REDACT, run_id__in=redaction_runs)
    return sorted(found.values_list("id", flat=True))


def removals_of(tables: Sequence[int], *, using: str) -> list[int]:
    """The ids of what was removed from the tables' histories, sorted."""
    found = Removal.objects.using(using).filter(tracked_id__in=tables)
    return sorted(found.values_list("id", flat=True))


def redactions_of(leaves: Sequence[tuple[int, int]], *, using: str) -> tuple[list[int], list[int]]:
    """Of leaves (section, place): the ids of their redacted values, and the runs, both sorted."""
    wanted, ids, runs = set(leaves), set(), set()
    of = sorted({section for section, _ in leaves})
    for start in range(0, len(of), _AT_ONCE):
        found = RedactedValue.objects.using(using).filter(
            section_id__in=of[start : start + _AT_ONCE], commitment__isnull=False
        )
        for pk, section, place, run in found.values_list("id", "section_id", "place", "run_id"):
            if (section, place) in wanted:
                ids.add(pk)
                runs.add(run)
    return sorted(ids), sorted(runs)


def certificates_of(events: Sequence[int], *, using: str) -> list[Certificate]:
    """Those that the events name, by number."""
    numbers = set(
        AuditEvent.objects.using(using)
        .filter(pk__in=events)
        .exclude(certificate="")
        .values_list("certificate", flat=True)
    )
    return list(Certificate.objects.filter(number__in=numbers).order_by("number"))
