"""Reads of signs of life."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.utils import timezone

from operations.models import Heartbeat

PROCESSES = ("worker", "beat")
SILENCE = timedelta(seconds=90)
"""Six heartbeats of 15 s."""

Vital = Literal["alive", "silent", "stopped", "never"]


@dataclass(frozen=True)
class SignOfLife:
    """What is known of one process."""

    name: str
    vital: Vital
    """`silent`: it did not say goodbye. `never`: it was never heard of."""
    at: datetime | None
    detail: str


def signs_of_life(*, now: datetime | None = None) -> list[SignOfLife]:
    """One for each of PROCESSES. Whatever is recorded comes through the worker: without one,
    nothing is known of beat either."""
    moment = now or timezone.now()
    found = {heartbeat.name: heartbeat for heartbeat in Heartbeat.objects.all()}
    return [_sign(name, found.get(name), moment) for name in PROCESSES]


def _sign(name: str, heartbeat: Heartbeat | None, now: datetime) -> SignOfLife:
    if heartbeat is None:
        return SignOfLife(name, "never", None, "")
    vital: Vital = "alive"
    if heartbeat.stopped:
        vital = "stopped"
    elif now - heartbeat.at > SILENCE:
        vital = "silent"
    return SignOfLife(name, vital, heartbeat.at, heartbeat.detail)
