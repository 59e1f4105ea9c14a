"""Who may stop a destruction. Whatever destroys asks here, in every batch.

Invariant: a hold wins over everything that destroys. A veto is registered by an app above (legal
holds are one), so the ground needs to know nothing of holds.

And it wins at once: a transaction that asks what is protected keeps a shared lock until it ends,
and whoever places a veto waits for that lock alone. So once a veto is placed, nothing that did not
see it can still commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from django.db import connections
from psycopg import sql

from operations.catalogue.types import Table, TableName
from operations.exceptions import Refused
from operations.session import set_local

LOCK = 6_231_408_355_112_770_001
"""Of the advisory lock: shared by what destroys, exclusive for who places a veto."""
LOCK_SECONDS = 60
"""For which a veto waits for what is being destroyed. A batch takes 2 at most."""


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
    never_null: bool = False
    """An EXISTS, say: negated plainly, the planner can make an anti-join of it."""


class Veto(Protocol):
    """One source of vetoes."""

    def protections(self, table: Table, *, using: str) -> Iterator[Protection]:
        """Asked inside the transaction that destroys, so a veto placed a moment ago counts."""
        ...

    def holders(self, name: TableName, *, using: str) -> Iterator[str]:
        """Who protects any row of the table, which need not exist any more: `hold 2031-17`."""
        ...


_vetoes: dict[str, Veto] = {}


def register(name: str, veto: Veto) -> None:
    """Makes a source of vetoes known; the same name again replaces it."""
    _vetoes[name] = veto


def unregister(name: str) -> None:
    _vetoes.pop(name, None)


def protections(table: Table, *, using: str, besides: str = "") -> list[Protection]:
    """Everything that protects rows of the table now.

    Inside a transaction no veto can be placed from here on until that transaction ends: ask before
    anything is destroyed in it, and end it soon. Outside one this only looks.

    Args:
        besides: a source that is left out, because somebody asks what would be without it.
    """
    _keep_out(using)
    sources = [veto for name, veto in _vetoes.items() if name != besides]
    return [p for veto in sources for p in veto.protections(table, using=using)]


def holders(name: TableName, *, using: str) -> list[str]:
    """Who protects rows of the table of this name, dropped or not. Locks as `protections` does.

    For copies of rows, such as archives, of which nobody can ask row by row: while somebody
    protects the table they stay.
    """
    _keep_out(using)
    return [who for veto in _vetoes.values() for who in veto.holders(name, using=using)]


def _keep_out(using: str) -> None:
    """The lock comes first: what is read after it was granted is not older than it."""
    if connections[using].in_atomic_block:
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock_shared(%s)", [LOCK])


def settle(*, using: str) -> None:
    """Last before the commit that places a veto: waits until nothing is being destroyed.

    What comes later queues behind, so the wait is one batch, however many there are. Raises
    OperationalError after LOCK_SECONDS.
    """
    set_local({"lock_timeout": f"{LOCK_SECONDS}s"}, using=using)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", [LOCK])


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
        sql.SQL("NOT {}" if p.never_null else "({}) IS FALSE").format(p.rows)
        for p in found
        if p.rows is not None
    )
