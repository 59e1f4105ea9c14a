"""Who protects versions that are to lose values: vetoes of their history, and of their table.

Invariant: what cannot be told is protected. A hold on rows of the table is asked of every version
as if it were such a row, so one of a record that was changed or deleted since counts too; where
the table is gone, or its versions cannot be read as rows of it, any hold on it protects them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db import DataError, ProgrammingError, connections, transaction
from psycopg import sql

from auditing.exceptions import RestoreRefused
from auditing.models import TrackedTable
from auditing.selectors.images import shape_of
from auditing.selectors.redactable import Pick
from auditing.selectors.restorable import Restorable, restorable
from auditing.selectors.version_rows import version_rows
from operations import vetoes
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.exceptions import CustodyError
from operations.vetoes import Protection, Vetoed


def redact_vetoes(tracked: TrackedTable, picks: Sequence[Pick], *, using: str) -> None:
    """Raises Vetoed, naming who protects any of the versions. In the transaction that destroys."""
    by = list(
        dict.fromkeys([*_of_history(tracked, picks, using), *_of_table(tracked, picks, using)])
    )
    if by:
        raise Vetoed(
            f"Versions of {tracked} that are to be redacted are protected by {', '.join(by)}: "
            "no value was taken from them. Ask whoever placed it to release it, or choose others."
        )


def _of_history(tracked: TrackedTable, picks: Sequence[Pick], using: str) -> Iterator[str]:
    try:
        history = read_table(tracked.history, using=using)
    except NoSuchTable:
        return
    for each in vetoes.protections(history, using=using):
        if each.rows is None or _touches(each, _in_history(tracked, picks), using):
            yield each.by


def _of_table(tracked: TrackedTable, picks: Sequence[Pick], using: str) -> Iterator[str]:
    if not vetoes.holders(tracked.table, using=using):
        return
    try:
        target = restorable(shape_of(tracked))
    except RestoreRefused:
        yield from vetoes.holders(tracked.table, using=using)
        return
    found = vetoes.protections(target.table, using=using)
    yield from (each.by for each in found if each.rows is None)
    asked = [each for each in found if each.rows is not None]
    if asked:
        yield from _of_rows(target, picks, asked, using)


def _of_rows(
    target: Restorable, picks: Sequence[Pick], asked: Sequence[Protection], using: str
) -> Iterator[str]:
    rows = version_rows(target, _are(picks))
    try:
        # A savepoint: what a veto's condition cannot read must not end the step without a word.
        with transaction.atomic(using=using), target.ready():
            found = [each.by for each in asked if _touches(each, rows, using)]
    except (CustodyError, DataError, ProgrammingError) as error:
        why = " ".join(str(error).split())
        found = [f"{each.by} (its versions cannot be asked: {why})" for each in asked]
    yield from found


def _touches(protection: Protection, rows: sql.Composable, using: str) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM ({}) t WHERE ({}) IS NOT FALSE)").format(
        rows, protection.rows
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        return bool(cursor.fetchone()[0])


def _in_history(tracked: TrackedTable, picks: Sequence[Pick]) -> sql.Composable:
    return sql.SQL("SELECT h.*, h.tableoid FROM {} h WHERE {}").format(
        tracked.history.sql, _are(picks)
    )


def _are(picks: Sequence[Pick]) -> sql.Composable:
    """The history row `h` is one of them."""
    if not picks:
        return sql.SQL("false")
    places: dict[int, list[str]] = {}
    for each in picks:
        places.setdefault(each.partition, []).append(each.ctid)
    return sql.SQL("({})").format(
        sql.SQL(" OR ").join(
            sql.SQL(
                "(h.tableoid = {}::pg_catalog.oid AND h.ctid = ANY ({}::pg_catalog.tid[]))"
            ).format(sql.Literal(partition), sql.Literal(ctids))
            for partition, ctids in places.items()
        )
    )
