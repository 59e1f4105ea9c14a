"""Where else versions are kept, beside the history, when values are redacted from it.

What keeps them registers here: archives of history that reached its term, say. The audit need not
know of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from auditing.models import TrackedTable
from auditing.selectors.redactable import Redactable, Stretch
from operations.runs.kinds import Beat


class Elsewhere(Protocol):
    """One place where versions are kept. Lists are sentences for people, but for `done`."""

    def planned(self, tracked: TrackedTable, *, using: str) -> list[str]:
        """What will be done there, and what cannot be, and until when that stays."""
        ...

    def redact(
        self,
        tracked: TrackedTable,
        columns: Sequence[Redactable],
        stretches: Sequence[Stretch],
        *,
        run_id: int,
        beat: Beat,
        using: str,
    ) -> None:
        """Takes the values away, durably. Outside a transaction; repeatable after any kill."""
        ...

    def done(self, tracked: TrackedTable, *, run_id: int, using: str) -> list[dict[str, Any]]:
        """What the run changed there, JSON for the certificate."""
        ...

    def remaining(self, tracked: TrackedTable, *, using: str) -> list[str]:
        """What still may hold values, why, and until when."""
        ...


_places: dict[str, Elsewhere] = {}


def register(name: str, place: Elsewhere) -> None:
    """Makes a place known; the same name again replaces it."""
    _places[name] = place


def unregister(name: str) -> None:
    _places.pop(name, None)


def places() -> list[Elsewhere]:
    return list(_places.values())
