"""Who may stop a destruction. Whatever destroys asks here, in every batch.

Invariant: a hold wins over everything that destroys. A veto is registered by an app above (legal
holds are one), so the ground needs to know nothing of holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from psycopg import sql

from operations.catalogue.types import Table
from operations.exceptions import Refused


class Vetoed(Refused):
    """Somebody's veto, such as a legal hold, forbids to destroy this."""


@dataclass(frozen=True)
class Protection:
    """Rows of a table that must not go."""

    by: str
    """Who says so, for people and for the certificate: `hold 2031-17`."""
    rows: sql.Composable | None
    """A condition on the rows of alias `t`, true for a protected row; None protects them all.
    A row for which it is NULL counts as protected."""


class Veto(Protocol):
    """One source of vetoes."""

    def protections(self, table: Table, *, using: str) -> Iterator[Protection]:
        """Asked inside the transaction that destroys, so a veto placed a moment ago counts."""
        ...


_vetoes: dict[str, Veto] = {}


def register(name: str, veto: Veto) -> None:
    """Makes a source of vetoes known; the same name again replaces it."""
    _vetoes[name] = veto


def unregister(name: str) -> None:
    _vetoes.pop(name, None)


def protections(table: Table, *, using: str) -> list[Protection]:
    """Everything that protects rows of the table now."""
    return [p for veto in _vetoes.values() for p in veto.protections(table, using=using)]


def unprotected(found: list[Protection], *, table: Table) -> sql.Composable:
    """The condition that lets only unprotected rows of alias `t` through.

    Raises:
        Vetoed: the whole table is protected.
    """
    for protection in found:
        if protection.rows is None:
            raise Vetoed(f"{table.name} is protected as a whole by {protection.by}.")
    if not found:
        return sql.SQL("true")
    return sql.SQL(" AND ").join(
        sql.SQL("({}) IS FALSE").format(p.rows) for p in found if p.rows is not None
    )
