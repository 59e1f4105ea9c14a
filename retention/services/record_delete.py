"""Moving one record, with all that hangs on it, into the bin.

Invariant: nothing is destroyed. Every row that was marked, and every reference that was set, is
known to the deletion and comes back with it.

The work is the database's own (`retention/sql/0004_softdelete_deleting.sql`), so that the governed
application's `custody.soft_delete(...)` and the console do the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import psycopg
from django.contrib.auth.models import User
from django.db import DatabaseError, DataError, connections, transaction
from django.utils import timezone

from auditing.context import acting, context_send
from operations.acting import acting_now, person_fields
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName
from operations.record_ids import NoRecordId, key_values
from operations.session import set_local
from retention.exceptions import DeletionRefused, SoftDeleteMissing
from retention.models import Deletion, DeletionTable, SoftDeleteTable
from retention.selectors.deletion_rows import SeveredCount, severed_counts
from retention.selectors.softdelete import softdelete_table_of

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
            refer to it, or a hold protects what would be changed. The attempt is kept when
            something refused it.
    """
    governed = softdelete_table_of(table, using=using)
    if governed is None:
        raise SoftDeleteMissing(
            f"{table} does not have soft delete. Enable it: manage.py softdelete_enable {table}"
        )
    keys = [list(key_values(record_id, read_table(governed.table, using=using)))]
    try:
        with acting(**person_fields(actor), reason=reason), transaction.atomic(using=using):
            set_local(LIMITS, using=using)
            context_send(using=using)
            found = _deleted(governed, record_id, _delete(governed, keys, reason, using), using)
            if dry_run:
                raise _Undo
    except _Undo:
        return Deleted(None, found.table, found.record_id, found.tables, found.severed, (), True)
    except DataError as error:
        raise NoRecordId(
            f"{record_id!r} is no key of {governed.table}: {str(error).partition(chr(10))[0]}."
        ) from None
    except DatabaseError as error:
        refused = _refused(error)
        if refused is None:
            raise
        message, entries = refused
        if dry_run and entries:
            return Deleted(None, governed.table, record_id, (), (), tuple(entries), True)
        if entries and not dry_run:
            _keep_attempt(governed, record_id, actor, reason, entries)
        raise DeletionRefused(f"{message} Nothing was deleted.") from None
    return found


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


def _refused(error: DatabaseError) -> tuple[str, list[dict[str, Any]]] | None:
    """What the database said, as a sentence, and the rows that refuse; None for another error."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error) or cause.diag.message_primary is None:
        return None
    message = f"{cause.diag.message_primary}."
    if isinstance(cause, psycopg.errors.ForeignKeyViolation | psycopg.errors.NotNullViolation):
        try:
            return message, list(json.loads(cause.diag.message_detail or "[]"))
        except json.JSONDecodeError:
            return message, []
    if isinstance(
        cause,
        psycopg.errors.NoDataFound
        | psycopg.errors.ObjectNotInPrerequisiteState
        | psycopg.errors.RaiseException,
    ):
        hint = cause.diag.message_hint
        return f"{message} {hint}" if hint else message, []
    return None


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
