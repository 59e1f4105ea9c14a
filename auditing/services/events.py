"""What is done to the audit itself, as one line each."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import connections

from auditing.models import AuditEvent, TrackedTable


def event_add(
    kind: AuditEvent.Kind,
    tracked: TrackedTable,
    *,
    actor: User,
    reason: str,
    detail: dict[str, Any] | None = None,
) -> AuditEvent:
    """Adds an event at its place in the order of versions."""
    with connections[tracked.database].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.nextval('custody.audit_seq')")
        seq = cursor.fetchone()[0]
    return AuditEvent.objects.create(
        kind=kind,
        tracked=tracked,
        seq=seq,
        actor=f"console:{actor.get_username()}",
        reason=reason,
        detail=detail or {},
    )
