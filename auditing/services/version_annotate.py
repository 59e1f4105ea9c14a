"""A name and a comment for one version of a record."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from auditing.models import TrackedTable, VersionNote

LONGEST_NAME = 100
"""Characters."""


@transaction.atomic
def version_annotate(
    *, tracked: TrackedTable, record_id: str, seq: int, name: str, comment: str, author: User
) -> VersionNote | None:
    """Says it of the version, instead of what was said before; with nothing to say, takes it away.

    Whether there is such a version is the caller's to know.
    """
    name, comment = name.strip(), comment.strip()
    if not name and not comment:
        VersionNote.objects.filter(tracked=tracked, record_id=record_id, seq=seq).delete()
        return None
    note, _ = VersionNote.objects.update_or_create(
        tracked=tracked,
        record_id=record_id,
        seq=seq,
        defaults={"name": name, "comment": comment, "author": author, "at": timezone.now()},
    )
    return note
