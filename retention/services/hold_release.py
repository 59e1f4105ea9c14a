"""Releasing a hold, and looking at it again in time.

Invariant: nobody releases what they placed themselves.
"""

from __future__ import annotations

from datetime import date

from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.utils import timezone

from operations.services.alerts import alert_resolve, alerts_resolve_others
from retention.exceptions import HoldRefused
from retention.models import LegalHold
from retention.selectors.holds import hold_active

REVIEW = "hold-review:"
ASTRAY = "hold-astray:"
"""Begin the keys of alerts, before the hold's number."""


def hold_refusal(hold: LegalHold, person: User | AnonymousUser) -> str:
    """Why this person cannot release the active hold; empty when they can."""
    if person.pk == hold.placed_by_id or hold.scopes.filter(added_by=person.pk).exists():
        return f"{person} placed the {hold} or a part of it: another person has to release it."
    if not person.has_perm("retention.release_legalhold"):
        return f"{person} has no permission to release holds."
    return ""


def hold_release(*, case_id: str, released_by: User, reason: str) -> LegalHold:
    """Ends the active hold of the case. What only it kept is due from the next run on.

    Raises:
        NoSuchHold: no hold was placed for the case.
        HoldRefused: it is released already, the person placed it or may not, or gave no reason.
    """
    if not reason.strip():
        raise HoldRefused("A release needs a reason.")
    with transaction.atomic():
        hold = _locked(case_id)
        if refusal := hold_refusal(hold, released_by):
            raise HoldRefused(refusal)
        hold.released_by, hold.released_at = released_by, timezone.now()
        hold.release_reason = reason.strip()
        _save(hold, released_by, reason)
        alert_resolve(key=f"{REVIEW}{hold.pk}")
        alerts_resolve_others(prefix=f"{ASTRAY}{hold.pk}:", current=())
    return hold


def hold_review(*, case_id: str, reviewed_by: User, next_on: date, reason: str) -> LegalHold:
    """Somebody looked: the hold stays, and is looked at again on another day.

    Raises:
        NoSuchHold: no hold was placed for the case.
        HoldRefused: it is released, the day is not in the future, or there is no reason.
    """
    if not reason.strip():
        raise HoldRefused("A review needs a reason: why the hold stays.")
    if next_on <= timezone.localdate():
        raise HoldRefused(f"The next review has to be after today, not on {next_on}.")
    with transaction.atomic():
        hold = _locked(case_id)
        hold.review_on = next_on
        _save(hold, reviewed_by, reason)
        alert_resolve(key=f"{REVIEW}{hold.pk}")
    return hold


def _locked(case_id: str) -> LegalHold:
    """The active hold. Of two at once the second finds it released."""
    LegalHold.objects.select_for_update().filter(case_id=case_id, released_at=None).first()
    return hold_active(case_id)


def _save(hold: LegalHold, person: User, reason: str) -> None:
    hold._history_user = person  # type: ignore[attr-defined]
    hold._change_reason = reason.strip()[:100]  # type: ignore[attr-defined]
    hold.save()
