"""Bringing a deletion back, whole or in part, with what was severed because of it.

Invariants: all of it happens, or nothing, and what is in the way is named; no active row refers to
a deleted one afterwards. Restoring one record needs nobody else.

The work is the database's own (`retention/sql/0006_softdelete_restoring.sql`), the same as the
governed application's `custody.restore(...)`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from django.contrib.auth.models import User
from django.db import DatabaseError, connections, transaction

from auditing.context import acting, context_send
from auditing.selectors.unkept import untold_names
from operations.acting import person_fields
from operations.catalogue.read import table as read_table
from operations.masking import HIDDEN
from operations.session import set_local
from retention.exceptions import DeletionRefused
from retention.models import Deletion
from retention.selectors.deletions import deletion_get
from retention.services.deletion_obstacles import violated, why_not_now
from retention.services.record_delete import LIMITS


@dataclass(frozen=True)
class ChosenRow:
    """A record of a deletion that is to come back; `below`: with what hangs on it."""

    table: str
    record_id: str
    below: bool = True

    def to_json(self) -> dict[str, Any]:
        return {"table": self.table, "record": self.record_id, "below": self.below}


@dataclass(frozen=True)
class Choice:
    """What becomes of a record in conflict: it stays in the bin, or gets other values first."""

    table: str
    record_id: str
    do: Literal["skip", "set"]
    values: dict[str, str | None] | None = None
    """By column, as text."""

    def to_json(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "record": self.record_id,
            "do": self.do,
            "values": self.values or {},
        }


@dataclass(frozen=True)
class Conflict:
    """What keeps a record from coming back."""

    kind: Literal["unique", "parent", "error"]
    table: str
    records: tuple[str, ...]
    """Their record ids: one for a value that is taken, some of `rows` for a deleted parent."""
    constraint: str = ""
    rows: int = 1
    columns: tuple[str, ...] = ()
    values: tuple[str | None, ...] = ()
    """HIDDEN where a column opens something, or the audit does not keep it."""
    other: str = ""
    """The active record that has the values."""
    parent_table: str = ""
    parent_record: str = ""
    deletion: int | None = None
    """The one that has the parent; None for a parent that was marked without one."""
    deleted_at: str = ""
    deleted_by: str = ""
    message: str = ""
    """What the database says, where nothing more is known."""

    @property
    def sentence(self) -> str:
        """What is in the way, with what can be done about it."""
        if self.kind == "unique":
            columns = ", ".join(self.columns)
            values = ", ".join("NULL" if each is None else each for each in self.values)
            return (
                f"{self.table} {self.records[0]}: {columns} {values!r} belongs to {self.other} "
                "now. Skip it, or give it another value."
            )
        if self.kind == "parent":
            rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
            where = f" (deletion {self.deletion})" if self.deletion is not None else ""
            return (
                f"{rows} of {self.table} would refer to {self.parent_table} {self.parent_record}, "
                f"which {self.deleted_by or 'somebody'} deleted at {self.deleted_at}{where}. "
                "Restore that too, or skip."
            )
        return self.message


@dataclass(frozen=True)
class RestoredDeletion:
    """What a restore brought back, or with `dry_run` would bring back."""

    deletion: Deletion
    """The one that was asked for."""
    restored_id: int | None
    """The deletion that came back: another one when it was a part."""
    left_id: int | None
    """The deletion that has what was skipped."""
    tables: tuple[tuple[str, int], ...]
    references_back: int = 0
    references_changed: int = 0
    """Set by somebody since, so left as they are."""
    references_gone: int = 0
    conflicts: tuple[Conflict, ...] = ()
    dry_run: bool = False

    @property
    def rows(self) -> int:
        return sum(rows for _, rows in self.tables)


class _Undo(Exception):
    """Takes back what a dry run tried."""


class RestoreConflicts(DeletionRefused):
    """Something is in the way; nothing was changed."""

    def __init__(self, found: RestoredDeletion) -> None:
        self.found = found
        more = len(found.conflicts) - 3
        told = " ".join(each.sentence for each in found.conflicts[:3])
        super().__init__(
            f"Deletion {found.deletion.pk} cannot be restored as it is. {told}"
            + (f" And {more:,} more." if more > 0 else "")
            + " Nothing was changed."
        )


def record_restore(
    *,
    deletion_id: int,
    rows: Sequence[ChosenRow] | None = None,
    choices: Sequence[Choice] = (),
    parents: bool = False,
    actor: User,
    reason: str = "",
    dry_run: bool = False,
    using: str = "default",
) -> RestoredDeletion:
    """Restores a deletion, or some of its rows with what they need.

    Args:
        rows: those that come back; None: all. Deleted rows that they refer to come along.
        parents: also where those are in other deletions.
        dry_run: tries it and takes it back; conflicts are in the answer.

    Raises:
        NoSuchDeletion: no deletion has this number.
        RestoreConflicts: something is in the way, and it is no dry run.
        DeletionRefused: it was restored by somebody, is being destroyed, a value does not fit, or
            somebody else is at the same rows.
    """
    deletion = deletion_get(deletion_id, using=using)
    given = [
        deletion_id,
        None if rows is None else json.dumps([each.to_json() for each in rows]),
        json.dumps([each.to_json() for each in choices]),
        parents,
        reason,
    ]
    try:
        with acting(**person_fields(actor), reason=reason), transaction.atomic(using=using):
            set_local(LIMITS, using=using)
            context_send(using=using)
            found = _answer(deletion, _restore(given, using), dry_run, using)
            if dry_run:
                raise _Undo
    except _Undo:
        return found
    except DatabaseError as error:
        in_the_way = _in_the_way(error, using)
        if in_the_way is None:
            raise
        conflict, refusal = in_the_way
        if conflict is None:
            raise DeletionRefused(f"{refusal} Nothing was changed.") from None
        found = RestoredDeletion(deletion, None, None, (), conflicts=(conflict,), dry_run=dry_run)
        if dry_run:
            return found
        raise RestoreConflicts(found) from None
    if found.conflicts:
        raise RestoreConflicts(found)
    return found


def _restore(given: list[Any], using: str) -> dict[str, Any]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT custody.softdelete_restore("
            "%s, %s::pg_catalog.jsonb, %s::pg_catalog.jsonb, %s, %s)",
            given,
        )
        answer = cursor.fetchone()[0]
        # Whatever waits for the commit is to be known now.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return dict(json.loads(answer) if isinstance(answer, str) else answer)


def _answer(
    deletion: Deletion, answer: dict[str, Any], dry_run: bool, using: str
) -> RestoredDeletion:
    severed = answer["severed"] or {"back": 0, "changed": 0, "gone": 0}
    return RestoredDeletion(
        deletion=deletion,
        restored_id=answer["deletion"] if answer["restored"] else None,
        left_id=answer["left"],
        tables=tuple((each["table"], each["rows"]) for each in answer["tables"]),
        references_back=severed["back"],
        references_changed=severed["changed"],
        references_gone=severed["gone"],
        conflicts=tuple(_conflicts(answer["conflicts"], using)),
        dry_run=dry_run,
    )


def _conflicts(found: list[dict[str, Any]], using: str) -> Iterator[Conflict]:
    names = {each["table"] for each in found if each["kind"] == "unique"}
    untold = {name: untold_names(read_table(name, using=using), using=using) for name in names}
    for each in found:
        yield _conflict(each, untold.get(each["table"], frozenset()))


def _conflict(found: dict[str, Any], untold: Collection[str]) -> Conflict:
    if found["kind"] == "unique":
        pairs = zip(found["columns"], found["values"], strict=True)
        return Conflict(
            kind="unique",
            table=found["table"],
            records=(found["record"],),
            constraint=found["constraint"],
            columns=tuple(found["columns"]),
            values=tuple(HIDDEN if column in untold else value for column, value in pairs),
            other=found["other"],
        )
    return Conflict(
        kind="parent",
        table=found["table"],
        records=tuple(found["records"]),
        constraint=found["constraint"],
        rows=found["rows"],
        parent_table=found["parent_table"],
        parent_record=found["parent_record"],
        deletion=found["deletion"],
        deleted_at=str(found["deleted_at"])[:16].replace("T", " "),
        deleted_by=found["deleted_by"] or "",
    )


def _in_the_way(error: DatabaseError, using: str) -> tuple[Conflict | None, str] | None:
    """A conflict that only the attempt showed, or why it was refused; None for another error."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error) or cause.diag.message_primary is None:
        return None
    if not_now := why_not_now(cause):
        return None, not_now
    message = f"{cause.diag.message_primary}."
    if cause.sqlstate and cause.sqlstate.startswith("23"):
        table = ".".join(filter(None, (cause.diag.schema_name, cause.diag.table_name)))
        return (
            Conflict(
                kind="error",
                table=table,
                records=(),
                constraint=cause.diag.constraint_name or "",
                message=violated(cause, using=using),
            ),
            "",
        )
    if isinstance(
        cause,
        psycopg.errors.NoDataFound
        | psycopg.errors.ObjectNotInPrerequisiteState
        | psycopg.errors.InvalidParameterValue
        | psycopg.errors.RaiseException
        | psycopg.DataError,
    ):
        return None, message
    return None
