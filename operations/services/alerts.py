"""Alerts: raised once, mailed once, resolved by what mends them."""

from __future__ import annotations

from collections.abc import Collection

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from operations.models import Alert, Run


def alert_raise(
    *, key: str, summary: str, remedy: str = "", run: Run | None = None, severity: str = "error"
) -> Alert:
    """Opens the alert `key`, or refreshes the text of the one that is open."""
    # An error's text often has several lines, and a mail's subject must not.
    summary = " ".join(summary.split())
    alert, _ = Alert.objects.update_or_create(
        key=key,
        resolved_at=None,
        defaults={
            "summary": summary[:300],
            "remedy": remedy,
            "run": run,
            "severity": severity,
        },
    )
    return alert


def alert_resolve(*, key: str) -> int:
    """Closes the open alert `key`; returns how many there were, 0 or 1."""
    return Alert.objects.filter(key=key, resolved_at=None).update(resolved_at=timezone.now())


def alerts_resolve_others(*, prefix: str, current: Collection[str]) -> int:
    """Closes the open alerts whose key begins with `prefix` and is not `current` any more."""
    others = Alert.objects.filter(key__startswith=prefix, resolved_at=None)
    return others.exclude(key__in=current).update(resolved_at=timezone.now())


def alert_send() -> int:
    """Mails the open alerts that nobody was told of; returns how many.

    One mail a call, to `CUSTODY_ALERT_EMAILS`; a mail server that does not answer leaves them for
    the next call.
    """
    if not settings.CUSTODY_ALERT_EMAILS:
        return 0
    with transaction.atomic():
        alerts = list(
            Alert.objects.select_for_update(skip_locked=True).filter(
                resolved_at=None, mailed_at=None
            )
        )
        if not alerts:
            return 0
        blocks = [f"{a.summary}\n{a.remedy}".strip() for a in alerts]
        first = alerts[0].summary
        more = f" (and {len(alerts) - 1} more)" if len(alerts) > 1 else ""
        send_mail(
            subject=f"Custody: {first}{more}",
            message="\n\n".join(blocks),
            from_email=None,
            recipient_list=settings.CUSTODY_ALERT_EMAILS,
        )
        Alert.objects.filter(pk__in=[a.pk for a in alerts]).update(mailed_at=timezone.now())
    return len(alerts)
