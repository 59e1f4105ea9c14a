"""Which copies of a table's rows remain after they were deleted from it.

Previews and certificates say it. What keeps copies registers here: backups, the audit history and
the like; the ground says what holds for every table of PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from operations.catalogue.types import TableName


class Copies(Protocol):
    """One place where copies are kept."""

    def __call__(self, table: TableName, *, using: str) -> Iterator[str]:
        """Sentences, such as `Backups made before the run hold the rows until they expire.`"""
        ...


_sources: dict[str, Copies] = {}


def register(name: str, source: Copies) -> None:
    """Makes a place known; the same name again replaces it: `backups`, `history`."""
    _sources[name] = source


def unregister(name: str) -> None:
    _sources.pop(name, None)


def remaining_copies(table: TableName, *, using: str) -> list[str]:
    """Everything that is known to keep copies of the table's rows, in words."""
    return [told for source in _sources.values() for told in source(table, using=using)]


def _backups(table: TableName, *, using: str) -> Iterator[str]:
    yield (
        "Backups and write-ahead log that were made before the run hold the rows until they expire."
    )


def _replicas(table: TableName, *, using: str) -> Iterator[str]:
    yield "Replicas remove the rows as soon as they have replayed the run."


def _files(table: TableName, *, using: str) -> Iterator[str]:
    yield "Dead row versions stay in the table's files until VACUUM has reused their place."


def _history(table: TableName, *, using: str) -> Iterator[str]:
    yield "The console keeps no history of this table's rows: it is not audited."


register("backups", _backups)
register("replicas", _replicas)
register("files", _files)
register("history", _history)
