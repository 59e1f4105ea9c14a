"""Holds placed by one person and released by another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import Group, User

from retention.models import LegalHold
from retention.services.hold_place import ScopeAsked, hold_place
from retention.services.hold_release import hold_release


def officer(name: str = "grace", *, password: str | None = None) -> User:
    """Somebody who may place and release holds."""
    user = User.objects.filter(username=name).first()
    if user is None:
        user = User.objects.create_user(name, password=password, is_staff=True)
        user.groups.add(Group.objects.get(name="officer"))
    return user


def place(case: str, table: str = "app.events", **scope: Any) -> LegalHold:
    """By ada, on one table."""
    review = scope.pop("review_on", None)
    return hold_place(
        case_id=case,
        reason="The court asked.",
        scopes=[ScopeAsked(table, **scope)],
        placed_by=officer("ada"),
        review_on=review,
    ).hold


def release(case: str) -> LegalHold:
    """By grace."""
    return hold_release(case_id=case, released_by=officer("grace"), reason="Settled.")


def keys(count: int) -> Iterator[str]:
    return (str(number) for number in range(1, count + 1))
