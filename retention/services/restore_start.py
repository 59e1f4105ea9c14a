"""Asking for a restore: a new run, or the one that is not over yet; and rehearsing one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, connections, transaction

from operations.models import Run
from operations.selectors.runs import run_open_for
from operations.services.runs import run_create
from retention.models import Archive
from retention.services.restore_slice import Tally
from retention.services.restore_verdicts import Lines
from retention.services.restore_work import MOST_NAMED, RestoreWork
from retention.services.run_to_end import run_again, run_to_end

_ROWS = 5_000

OnRows = Callable[[int, int], None]
"""Called with the rows looked at so far and those of the archive."""


def restore_request(*, archive: Archive, requester: User, reason: str = "") -> Run:
    """The archive's open restore, resumed when it had failed or was paused; else a new run.

    Raises:
        RestoreRefused: the archive is not closed, or does not fit its table any more.
    """
    run = run_open_for(kind="archive_restore", subject=archive.name)
    if run is None:
        return run_create(
            kind="archive_restore",
            parameters={"archive": archive.pk},
            requester=requester,
            reason=reason,
            using=archive.run.database,
        )
    return run_again(run=run, requester=requester, reason=reason)


def archive_restore(
    *,
    archive: Archive,
    requester: User,
    reason: str = "",
    on_progress: Callable[[Run], None] | None = None,
) -> Run:
    """Restores in this process, to the end. Returns the run in the state it was left in.

    Raises:
        RestoreRefused: see `restore_request`.
        RunBusy: a living worker restores the archive.
    """
    run = restore_request(archive=archive, requester=requester, reason=reason)
    return run_to_end(run=run, on_progress=on_progress)


def restore_rehearse(*, archive: Archive, on_rows: OnRows | None = None) -> dict[str, Any]:
    """What a restore would find, as far as it can be told without inserting. Changes nothing.

    Rows that a check, NOT NULL, a trigger or a missing partition would refuse count as restorable:
    only inserting shows them.
    """
    using = archive.run.database
    work = RestoreWork(archive, using=using)
    found: dict[str, Any] = {
        "restorable": 0,
        "already_there": 0,
        "conflict_count": 0,
        "conflicts": [],
    }
    done = 0

    def limit() -> None:
        with connections[using].cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            cursor.execute("SET LOCAL statement_timeout = '30s'")

    try:
        for part in work.parts:
            work.prepare(part, lambda: None)
            rows = work.rows(part, limit)
            for after in range(0, part.rows, _ROWS):
                lines = Lines(after, min(after + _ROWS, part.rows))
                with transaction.atomic(using=using):
                    work.pin()
                    most = MOST_NAMED - len(found["conflicts"])
                    _add(found, part.number, rows.look(lines, most=most, rehearsal=True))
                done += len(lines)
                if on_rows is not None:
                    on_rows(done, archive.rows)
    finally:
        with suppress(DatabaseError, InterfaceError):
            work.clear()
    return found


def _add(found: dict[str, Any], part: int, tally: Tally) -> None:
    found["restorable"] += tally.restored
    found["already_there"] += tally.already_there
    found["conflict_count"] += tally.conflict_count
    found["conflicts"] += [{"part": part, **asdict(each)} for each in tally.conflicts]
