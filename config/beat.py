"""Beat's schedule: times of day are rows that people edit, chores of every few seconds are code."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery.beat import ScheduleEntry
from celery.utils.log import get_logger
from django.db import DatabaseError, InterfaceError
from django_celery_beat.schedulers import DatabaseScheduler

from operations.selectors.schedules import is_timed
from operations.services.schedules import schedules_seed

log = get_logger(__name__)

AT_START = frozenset({"softdelete-watch"})
"""Chores that do not wait for their first interval: it is long, and migrations come with starts."""


class ConsoleScheduler(DatabaseScheduler):
    """Nobody can switch off the sweep or the heartbeat, and nobody's times are overwritten.

    django-celery-beat's own scheduler writes the settings over the rows at every start.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._chores: dict[str, ScheduleEntry] = {}
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        schedules_seed()
        self._chores = {
            name: ScheduleEntry(
                name=name,
                app=self.app,
                # Due at once.
                last_run_at=self.app.now() - timedelta(days=1) if name in AT_START else None,
                **entry,
            )
            for name, entry in self.app.conf.beat_schedule.items()
            if not is_timed(entry["schedule"])
        }

    def all_as_schedule(self) -> dict[str, ScheduleEntry]:
        try:
            timed = super().all_as_schedule()
        except (DatabaseError, InterfaceError) as error:
            # A database that restarts must not end beat: the times stay as they were read last.
            log.warning("The schedule could not be read again: %s", error)
            timed = self._schedule or {}
        return {**timed, **self._chores}

    def reserve(self, entry: ScheduleEntry) -> ScheduleEntry:
        if entry.name not in self._chores:
            return super().reserve(entry)
        self._chores[entry.name] = next(entry)
        return self._chores[entry.name]
