"""How the files of an archive are protected: encrypted to whom, locked until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from operations.encryption import recipients
from operations.models import Run
from operations.storage import lock_wanted
from retention.models import Archive


@dataclass(frozen=True)
class Protection:
    """The same for every file of one run."""

    recipients: tuple[str, ...]
    """Public age keys; none: not encrypted."""
    term: timedelta | None
    """How long the storage is to refuse to delete a file; None: it is not locked."""

    @property
    def suffix(self) -> str:
        """The end of a part's name, which tells how to read it."""
        return ".csv.zst.age" if self.recipients else ".csv.zst"

    def lock_until(self) -> datetime | None:
        """For a file that is written now."""
        return timezone.now() + self.term if self.term is not None else None

    def layout(self) -> dict[str, Any]:
        """What the layout of an archive says of it: nothing when it is plain."""
        if not self.recipients:
            return {}
        return {"encryption": "age", "recipients": list(self.recipients)}


def protection_of(run: Run) -> Protection:
    """As the settings want it; a run that began to write goes on encrypting to the same keys.

    Raises:
        RecipientUnusable: the settings name something else than public keys.
    """
    begun = Archive.objects.filter(run=run).order_by("id").first()
    to = tuple(begun.recipients) if begun is not None else recipients()
    days = run.parameters["archive_days"]
    locked = lock_wanted() and days is not None
    return Protection(to, timedelta(days=days) if locked else None)
