"""Where else versions are kept, beside the history, when values are redacted from it.

What keeps them registers here: archives of history that reached its term, say. The audit need not
know of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from auditing.models import TrackedTable


class Elsewhere(Protocol):
    """One place where versions are kept."""

    def __call__(self, tracked: TrackedTable, *, using: str) -> Iterator[str]:
        """Sentences: what it is, until when it stays, and how the values go from there."""
        ...


_places: dict[str, Elsewhere] = {}


def register(name: str, place: Elsewhere) -> None:
    """Makes a place known; the same name again replaces it."""
    _places[name] = place


def unregister(name: str) -> None:
    _places.pop(name, None)


def kept_elsewhere(tracked: TrackedTable, *, using: str) -> list[str]:
    """Everything that is known to keep versions of the table beside its history, in words."""
    return [told for place in _places.values() for told in place(tracked, using=using)]
