"""Doing the steps of a plan: short transactions, and statements beside the writers.

Invariant: the registry tells before or with each change what was added to a table, so whatever
moment it ends at, the rest of the steps is known, and so is the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.utils import timezone
from psycopg import sql

from auditing.exceptions import TableBusy
from auditing.services.brief_lock import with_brief_lock
from operations.catalogue.types import TableName
from operations.session import set_local
from retention.exceptions import SoftDeleteBusy, SoftDeleteRefused
from retention.models import SoftDeleteTable
from retention.selectors.softdelete_steps import Step

Told = Callable[[Step], None]


def untold(step: Step) -> None:
    """Nobody looks on."""


STATEMENT_SECONDS = 2.0
"""The longest that one statement of a step keeps its locks, waits included."""
PATIENCE_SECONDS = 600
"""How long an index that is built beside the writers waits for transactions that are open."""
_LOCK = 6_231_408_355_112_770_006
"""Of the advisory lock: one process changes tables so at a time."""
_WAIT_SECONDS = 10
_HAS_MARKS = """
SELECT FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s::pg_catalog.regclass AND a.attname = 'deletion_id' AND NOT a.attisdropped
"""


@contextmanager
def alone(*, using: str) -> Iterator[None]:
    """Within, no other process enables or disables soft delete.

    Raises:
        SoftDeleteBusy: one does, and did not come to its end in some seconds.
    """
    with connections[using].cursor() as cursor:
        try:
            with transaction.atomic(using=using):
                set_local({"lock_timeout": f"{_WAIT_SECONDS}s"}, using=using)
                cursor.execute("SELECT pg_catalog.pg_advisory_lock(%s)", [_LOCK])
        except OperationalError as error:
            raise SoftDeleteBusy(
                "Soft delete of some table is being enabled or disabled at this moment: wait until "
                "that is through, then run this again."
            ) from error
    try:
        yield
    finally:
        if not connections[using].needs_rollback and connections[using].is_usable():
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [_LOCK])


def step_do(step: Step, row: SoftDeleteTable, *, using: str) -> None:
    """One step, with what the registry says of it.

    Raises:
        TableBusy: a transaction that uses the table did not end in time; the step was not done.
        SoftDeleteRefused: what PostgreSQL refused, in words.
    """
    try:
        if step.concurrently:
            _note(step, row)
            _beside(step, using)
        else:
            with_brief_lock(lambda: _at_once(step, row, using), what=str(step.table), using=using)
    except IntegrityError as error:
        raise SoftDeleteRefused(_duplicates(step, error)) from error
    except DatabaseError as error:
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise SoftDeleteRefused(
                f"The console's role may not do this to {step.table}: "
                f"{error.__cause__.diag.message_primary}. manage.py softdelete_enable {step.table} "
                "--dry-run prints the SQL for its owner."
            ) from error
        if isinstance(error.__cause__, psycopg.errors.DependentObjectsStillExist):
            diag = error.__cause__.diag
            raise SoftDeleteRefused(
                f"Something depends on what soft delete added to {step.table}: "
                f"{diag.message_detail or diag.message_primary}. Drop it, then run this again."
            ) from error
        raise


def _at_once(step: Step, row: SoftDeleteTable, using: str) -> None:
    # Of the whole: a lock that was had is not kept while the next one is waited for.
    set_local({"statement_timeout": f"{STATEMENT_SECONDS}s"}, using=using)
    with connections[using].cursor() as cursor:
        try:
            if step.bin_empty:
                _bin_empty(step.table, using)
            _terms_before(step, row, using)
            for statement in step.statements:
                cursor.execute(statement)
        except OperationalError as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                # Told as what it is to whoever tries again.
                raise OperationalError(str(error)) from psycopg.errors.LockNotAvailable()
            raise
    _note(step, row)


def _terms_before(step: Step, row: SoftDeleteTable, using: str) -> None:
    """The shield is made by what the entry says. That also says, until the end of the transaction,
    that the table is not ready: or each of the changes would make all of it once more."""
    if step.terms is not None:
        entry = SoftDeleteTable.objects.using(using).filter(pk=row.pk)
        entry.update(**{**step.terms, "ready_at": None})


def _bin_empty(table: TableName, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table.sql))
        cursor.execute(_HAS_MARKS, [str(table)])
        if cursor.fetchone() is None:
            return
        cursor.execute(
            sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE deletion_id IS NOT NULL)").format(
                table.sql
            )
        )
        if cursor.fetchone()[0]:
            raise SoftDeleteRefused(
                f"A row of {table} went into the bin at this moment: restore or purge it, then run "
                "this again."
            )


def _note(step: Step, row: SoftDeleteTable) -> None:
    """What the registry says from now on. Only that is written: the database's own functions write
    to the entry as well."""
    ready = row.ready_at
    row.refresh_from_db()
    row.ready_at = ready
    row.made = {**row.made, **step.made}
    for name, value in (step.terms or {}).items():
        setattr(row, name, value)
    name = step.unique["name"] if step.unique else step.forget
    if name:
        entries = [entry for entry in row.active_unique if entry["name"] != name]
        known = [entry for entry in row.active_unique if entry["name"] == name]
        # What was noted when it began is how it was: what stands there now may be ours.
        kept = known or ([dict(step.unique)] if step.unique else [])
        row.active_unique = entries if step.forget else [*entries, *kept]
    if step.last:
        row.disabled_at = timezone.now()
    fields = ["made", "active_unique", "disabled_at", "ready_at", *(step.terms or {})]
    row.save(update_fields=fields)


def _beside(step: Step, using: str) -> None:
    """Outside of a transaction: it waits for transactions that are open, and nobody for it."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT pg_catalog.set_config('lock_timeout', %s, false)", [f"{PATIENCE_SECONDS}s"]
        )
        try:
            for statement in step.statements:
                cursor.execute(statement)
        except OperationalError as error:
            if isinstance(
                error.__cause__,
                psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected,
            ):
                raise TableBusy(
                    f"A transaction that uses {step.table} did not end in {PATIENCE_SECONDS // 60} "
                    "minutes: the view pg_stat_activity shows it. Run this again when it has "
                    "ended: it goes on where it stopped."
                ) from error
            raise
        finally:
            if connections[using].is_usable():
                cursor.execute("RESET lock_timeout")


def _duplicates(step: Step, error: IntegrityError) -> str:
    diag = error.__cause__.diag if isinstance(error.__cause__, psycopg.Error) else None
    detail = (diag.message_detail if diag else "") or str(error)
    return (
        f"{step.table}: {step.what} was refused, since values occur twice: {detail} Change or "
        "destroy one of them, then run this again: what was done until now is kept, and the "
        "constraint is as it was before."
    )
