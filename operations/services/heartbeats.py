"""Signs of life of the processes that must always be there."""

from __future__ import annotations

from datetime import datetime

from django.db.models.functions import Now

from operations.models import Heartbeat


def heartbeat_record(*, name: str, at: datetime | None = None, detail: str = "") -> None:
    """`name` was alive at `at`; without it now, by the database's clock."""
    Heartbeat.objects.update_or_create(
        name=name, defaults={"at": at or Now(), "stopped": False, "detail": detail[:200]}
    )


def heartbeat_stop(*, name: str) -> None:
    """`name` was told to end and says so: from now on its silence means nothing."""
    Heartbeat.objects.filter(name=name).update(stopped=True, at=Now())
