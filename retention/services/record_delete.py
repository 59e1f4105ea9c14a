"""Moving one record, with all that hangs on it, into the bin.

Invariant: nothing is destroyed. Every row that was marked, and every reference that was set, is
known to the deletion and comes back with it.

The work is the database's own (`retention/sql/0004_softdelete_deleting.sql`), so that the governed
application's `custody.soft_delete(...)` and the console do the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from django.contrib.auth.models import User
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from auditing.context import acting, context_send
from operations.acting import acting_now, person_fields
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.record_ids import NoRecordId, key_values
from operations.session import set_local
from retention.exceptions import DeletionRefused, SoftDeleteMissing
from retention.models import Deletion, DeletionTable, SoftDeleteTable
from retention.selectors.deletion_holds import severed_held
from retention.selectors.severed import SeveredCount, severed_counts
from retention.selectors.softdelete import softdelete_table_of
from retention.services.deletion_obstacles import why_not_now

LIMITS = {"lock_timeout": "1000ms"}
"""The application waits for us two seconds at most: we wait for it one."""


@dataclass(frozen=True)
class Deleted:
    """What a deletion took, or with `dry_run` would take."""

    deletion: Deletion | None
    """None when nothing was deleted: a dry run."""
    table: TableName
    record_id: str
    tables: tuple[tuple[str, int, int], ...]
    """Name, level and rows of each table, from the record down."""
    severed: tuple[SeveredCount, ...]
    refused: tuple[dict[str, Any], ...] = ()
    """With `dry_run`: what would refuse it, as `Deletion.refused` has it."""
    dry_run: bool = False

    @property
    def rows(self) -> int:
        return sum(rows for _, _, rows in self.tables)


class _Undo(Exception):
    """Takes back what a dry run tried."""


class _Refusal(Exception):
    """In a sentence, with the rows that refuse as `Deletion.refused` has them."""

    def __init__(self, message: str, entries: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.entries = entries or []


def record_delete(
    *,
    table: TableName,
    record_id: str,
    actor: User,
    reason: str = "",
    dry_run: bool = False,
    using: str = "default",
) -> Deleted:
    """Deletes the record of this key softly; a dry run tries it, and takes it back.

    Raises:
        SoftDeleteMissing: the table does not have it.
        NoRecordId: the text is no key of the table.
        DeletionRefused: there is no such record, it is deleted already, rows that do not go along
            refer to it, a hold protects what would be changed, or somebody else is at the same
            rows. The attempt is kept when rows refused it.
    """
    governed = softdelete_table_of(table, using=using)
    if governed is None:
        raise SoftDeleteMissing(
            f"{table} does not have soft delete. Enable it: manage.py softdelete_enable {table}"
        )
    target = read_table(governed.table, using=using)
    keys = [list(key_values(record_id, target))]
    try:
        with acting(**person_fields(actor), reason=reason), transaction.atomic(using=using):
            set_local(LIMITS, using=using)
            context_send(using=using)
            _refuse_held(target, record_id, using)
            found = _deleted(governed, record_id, _delete(governed, keys, reason, using), using)
            if dry_run:
                raise _Undo
    except _Undo:
        return replace(found, deletion=None, dry_run=True)
    except DatabaseError as error:
        refusal = _refusal(error, governed, record_id)
    except _Refusal as error:
        refusal = error
    else:
        return found
    if dry_run and refusal.entries:
        return Deleted(None, governed.table, record_id, (), (), tuple(refusal.entries), True)
    if refusal.entries:
        _keep_attempt(governed, record_id, actor, reason, refusal.entries)
    raise DeletionRefused(f"{refusal} Nothing was deleted.")


def _refuse_held(table: Table, record_id: str, using: str) -> None:
    """Rows that a hold protects would be changed, and not be recognised by it afterwards."""
    held = severed_held(table=table, record_id=record_id, using=using)
    if held:
        raise _Refusal(
            f"{table.name} {record_id} cannot be deleted: {'; '.join(map(str, held))}.",
            [
                {
                    "table": str(each.table),
                    "constraint": each.constraint,
                    "rows": each.rows,
                    "records": [],
                    "held_by": list(each.by),
                }
                for each in held
            ],
        )


def _delete(governed: SoftDeleteTable, keys: list[list[str]], reason: str, using: str) -> Deletion:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT custody.softdelete_rows(%s::pg_catalog.oid, %s::pg_catalog.jsonb, %s, %s)",
            [governed.table_oid, json.dumps(keys), reason, Deletion.Source.CONSOLE],
        )
        return Deletion.objects.using(using).get(pk=cursor.fetchone()[0])


def _deleted(governed: SoftDeleteTable, record_id: str, deletion: Deletion, using: str) -> Deleted:
    tables = DeletionTable.objects.using(using).filter(deletion=deletion)
    return Deleted(
        deletion,
        governed.table,
        deletion.record_id or record_id,
        tuple((str(each.table), each.level, each.deleted) for each in tables),
        severed_counts(deletion, using=using),
    )


def _refusal(error: DatabaseError, governed: SoftDeleteTable, record_id: str) -> _Refusal:
    """What the database said, as a sentence. Raises NoRecordId, and any error that is another."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error) or cause.diag.message_primary is None:
        raise error
    message = f"{cause.diag.message_primary}."
    if not_now := why_not_now(cause):
        return _Refusal(not_now)
    if isinstance(cause, psycopg.DataError):
        raise NoRecordId(f"{record_id!r} is no key of {governed.table}: {message}") from None
    if isinstance(cause, psycopg.errors.ForeignKeyViolation | psycopg.errors.NotNullViolation):
        return _Refusal(message, _entries(cause.diag.message_detail))
    if isinstance(
        cause,
        psycopg.errors.NoDataFound
        | psycopg.errors.ObjectNotInPrerequisiteState
        | psycopg.errors.RaiseException,
    ):
        hint = cause.diag.message_hint
        return _Refusal(f"{message} {hint}" if hint else message)
    raise error


def _entries(detail: str | None) -> list[dict[str, Any]]:
    """Those of our own refusal; a constraint of the table's own tells in words."""
    try:
        return list(json.loads(detail or "[]"))
    except json.JSONDecodeError:
        return []


def _keep_attempt(
    governed: SoftDeleteTable,
    record_id: str,
    actor: User,
    reason: str,
    entries: list[dict[str, Any]],
) -> None:
    """Whoever asks next why the record is still there finds the answer in the bin."""
    said = acting_now()
    Deletion.objects.create(
        schema_name=governed.schema_name,
        table_name=governed.table_name,
        table_oid=governed.table_oid,
        record_id=record_id,
        deleted_at=timezone.now(),
        actor=(said.actor if said else "") or person_fields(actor)["actor"],
        reason=reason,
        source=Deletion.Source.CONSOLE,
        state=Deletion.State.REFUSED,
        xid=0,
        refused=entries,
    )
