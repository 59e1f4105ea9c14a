"""Lengthening the term of an archive. A term is never shortened."""

from __future__ import annotations

from datetime import datetime

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import transaction

from operations.storage import storage
from retention.exceptions import ArchiveRefused
from retention.models import Archive


def archive_keep(
    *, archive: Archive, until: datetime | None, actor: User, reason: str
) -> list[Archive]:
    """Keeps the archive, and those of what went along with its rows, until then (None: for ever).

    Noted in the admin's log with the reason. Where the storage has them locked, it locks them for
    longer first. Returns the archives that are kept for longer than before.

    Raises:
        ArchiveRefused: it is gone or being written, or its term would not be longer.
        LockRefused: the storage did not lock a file for longer; the term is what it was.
    """
    with transaction.atomic():
        Archive.objects.select_for_update().get(pk=archive.pk)
        longer = archive_kept_longer(archive=archive, until=until)
        for each in longer:
            _lengthen(each, until, actor, reason)
    return longer


def archive_kept_longer(*, archive: Archive, until: datetime | None) -> list[Archive]:
    """Which archives that would be. Changes nothing; raises ArchiveRefused."""
    archive = Archive.objects.get(pk=archive.pk)
    _refuse(archive, until)
    return [
        each for each in (archive, *archive.dependents.order_by("id")) if _is_longer(each, until)
    ]


def _refuse(archive: Archive, until: datetime | None) -> None:
    if archive.state == Archive.State.DESTROYED:
        raise ArchiveRefused(f"{archive.name} was destroyed on {archive.destroyed_at:%Y-%m-%d}.")
    if archive.state != Archive.State.COMPLETE:
        raise ArchiveRefused(f"{archive.name} is still being written: it has no term yet.")
    if archive.expires_at is None:
        raise ArchiveRefused(f"{archive.name} is kept for ever already.")
    if not _is_longer(archive, until):
        raise ArchiveRefused(
            f"{archive.name} is kept until {archive.expires_at:%Y-%m-%d} already: "
            "a term can only be lengthened."
        )


def _is_longer(archive: Archive, until: datetime | None) -> bool:
    if archive.state != Archive.State.COMPLETE or archive.expires_at is None:
        return False
    return until is None or until > archive.expires_at


def _lengthen(archive: Archive, until: datetime | None, actor: User, reason: str) -> None:
    if archive.locked_until is not None and until is not None:
        for file in storage().list(f"{archive.folder}/"):
            storage().lock(file, until)
        archive.locked_until = until
    before, after = _told(archive.expires_at), _told(until)
    archive.expires_at = until
    archive.save(update_fields=["expires_at", "locked_until"])
    message = f"Kept {after} in place of {before}. Reason: {reason}"
    LogEntry.objects.log_actions(actor.pk, [archive], CHANGE, message, single_object=True)


def _told(until: datetime | None) -> str:
    return f"until {until:%Y-%m-%d}" if until else "for ever"
