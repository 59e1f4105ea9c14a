"""Archives whose term is over."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from retention.models import Archive


def archives_due(*, now: datetime) -> QuerySet[Archive]:
    """Complete archives past their term, the oldest first, with their policies."""
    due = Archive.objects.filter(state=Archive.State.COMPLETE, expires_at__lte=now)
    return due.select_related("policy", "run", "root").order_by("id")


def kept_because(archive: Archive, *, now: datetime) -> str:
    """Why it is not to be destroyed whoever asks, vetoes apart; empty when its term is over."""
    if archive.state == Archive.State.DESTROYED:
        return f"was destroyed already, on {archive.destroyed_at:%Y-%m-%d}."
    if archive.state != Archive.State.COMPLETE:
        return "is still being written."
    if archive.expires_at is None:
        return "is kept for ever: it has no term."
    if archive.expires_at > now:
        return f"is kept until {archive.expires_at:%Y-%m-%d}: nothing is destroyed before its term."
    if archive.locked_until is not None and archive.locked_until > now:
        return (
            f"is locked in the storage until {archive.locked_until:%Y-%m-%d %H:%M}: "
            "nobody can delete it before."
        )
    return ""
