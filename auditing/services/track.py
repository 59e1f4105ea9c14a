"""Beginning the audit of a table."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from psycopg import sql

from auditing.exceptions import AlreadyTracked, BadColumns, NotTrackable
from auditing.models import AuditEvent, Handling, TrackedColumn, TrackedTable
from auditing.services.audit_views import audit_views_make
from auditing.services.brief_lock import with_brief_lock
from auditing.services.event_trigger import event_trigger_ensure
from auditing.services.events import event_add
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Column, Key, Table, TableName

LONGEST_HISTORY_NAME = 46
"""Bytes: room is left for `_p203112` and `_capture`."""
OWN_TABLES_NOT_AUDITED = frozenset(
    {"operations_heartbeat", "django_session", "django_migrations", "operations_jobrequest"}
)


@dataclass(frozen=True)
class TrackTerms:
    """How the columns of a table are kept."""

    exclude: Collection[str] = ()
    """Not kept at all: a change of these alone leaves no version."""
    mask: Collection[str] = ()
    """That they changed is kept, and not what."""
    significant: Collection[str] = ()
    """Only changes of these make a version; empty: of every kept column."""
    reason_required: bool = False
    _handling: dict[str, Handling] = field(default_factory=dict, init=False, repr=False)

    def handling(self, column: str) -> Handling:
        if column in self.exclude:
            return Handling.EXCLUDED
        return Handling.MASKED if column in self.mask else Handling.CAPTURED


def table_trackable(name: TableName | str, terms: TrackTerms, *, using: str = "default") -> Table:
    """The table, when it can be audited so.

    Raises:
        NoSuchTable, AmbiguousTableName, BadTableName: as the catalogue does.
        NotTrackable: with the remedy.
        BadColumns: the terms name a column that there is not, or keep a key from the history.
    """
    table = read_table(name, using=using)
    if table.kind == "foreign":
        raise NotTrackable(f"{table.name} is a foreign table: audit it where its rows are.")
    if table.partition_of is not None:
        raise NotTrackable(
            f"{table.name} is a partition of {table.partition_of}: audit that, its partitions "
            "are audited with it."
        )
    if table.name.schema == "history" or _is_ours(table.name):
        raise NotTrackable(
            f"{table.name} belongs to the audit itself, or holds nothing worth it: heartbeats and "
            "web sessions."
        )
    if table.key is None:
        raise NotTrackable(
            f"{table.name} has no key that tells its rows apart. Give it one: ALTER TABLE "
            f"{table.name} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, or make "
            "the columns of a unique constraint NOT NULL."
        )
    if table.row_security:
        raise NotTrackable(
            f"Row-level security hides rows of {table.name} from the console's role, so their "
            "history would have gaps: give the role BYPASSRLS, or a policy that shows it all rows."
        )
    _check_columns(table, table.key, terms)
    return table


def _is_ours(name: TableName) -> bool:
    return name.schema == "custody" and (
        name.name.startswith("auditing_") or name.name in OWN_TABLES_NOT_AUDITED
    )


def _check_columns(table: Table, key: Key, terms: TrackTerms) -> None:
    named = [*terms.exclude, *terms.mask, *terms.significant]
    unknown = sorted({name for name in named if table.column(name) is None})
    if unknown:
        raise BadColumns(
            f"{table.name} has no column {', '.join(unknown)}. "
            f"It has: {', '.join(column.name for column in table.columns)}."
        )
    of_key = sorted({*terms.exclude, *terms.mask} & set(key.columns))
    if of_key:
        raise BadColumns(
            f"{', '.join(of_key)} names the rows of {table.name}: a key is always kept."
        )
    both = sorted(set(terms.exclude) & {*terms.mask, *terms.significant})
    if both:
        raise BadColumns(f"{', '.join(both)} cannot be excluded and kept as well.")


def table_track(
    name: TableName | str,
    *,
    actor: User,
    reason: str,
    terms: TrackTerms | None = None,
    using: str = "default",
) -> TrackedTable:
    """Begins the audit: makes the history, the capture function and its triggers.

    From its return on every committed change has its version. When the table has rows,
    `baseline_seq` is set and `baseline_start` takes their images; until it is through, a row's
    first change keeps its old image too.

    Raises:
        AlreadyTracked: the table is audited.
        TableBusy: a transaction that uses the table did not end in time.
        NotTrackable, BadColumns, NoSuchTable ...: as `table_trackable` does.
    """
    terms = terms or TrackTerms()
    table = table_trackable(name, terms, using=using)
    if TrackedTable.objects.filter(
        database=using, table_oid=table.oid, untracked_at__isnull=True
    ).exists():
        raise AlreadyTracked(
            f"{table.name} is audited already. manage.py audit_sync {table.name} adjusts it."
        )
    guarded = not event_trigger_ensure(using=using)
    return with_brief_lock(
        lambda: _track(table, terms, actor=actor, reason=reason, guarded=guarded, using=using),
        what=str(table.name),
        using=using,
    )


def _track(
    table: Table, terms: TrackTerms, *, actor: User, reason: str, guarded: bool, using: str
) -> TrackedTable:
    tracked = TrackedTable.objects.create(
        database=using,
        schema_name=table.name.schema,
        table_name=table.name.name,
        table_oid=table.oid,
        history_name=_history_name(table.name, using=using),
        row_level=_inherits(table, using=using),
        guarded=guarded,
        reason_required=terms.reason_required,
    )
    assert table.key is not None
    TrackedColumn.objects.bulk_create(
        _column(tracked, column, table.key, terms) for column in table.columns
    )
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT FROM custody.audit_history_columns_add(%s)", [tracked.pk])
        cursor.execute("SELECT custody.audit_history_make(%s)", [tracked.pk])
        cursor.execute("SELECT custody.capture_make(%s)", [tracked.pk])
        # Waits for the transactions that write to the table, and keeps new ones waiting.
        cursor.execute("SELECT custody.audit_triggers_make(%s)", [tracked.pk])
        cursor.execute(_has_rows(table))
        if cursor.fetchone()[0]:
            # Every change from now on has a higher number.
            cursor.execute("SELECT custody.audit_baseline_begin(%s, true)", [tracked.pk])
            cursor.execute("SELECT custody.capture_make(%s)", [tracked.pk])
    TrackedTable.objects.filter(pk=tracked.pk).update(audited_once=True)
    event_add(
        AuditEvent.Kind.TRACK,
        tracked,
        actor=actor,
        reason=reason,
        detail={
            "exclude": sorted(terms.exclude),
            "mask": sorted(terms.mask),
            "significant": sorted(terms.significant),
        },
    )
    tracked.refresh_from_db()
    audit_views_make(tracked=tracked)
    return tracked


def _column(tracked: TrackedTable, column: Column, key: Key, terms: TrackTerms) -> TrackedColumn:
    in_key = column.name in key.columns
    return TrackedColumn(
        tracked=tracked,
        attnum=column.position,
        name=column.name,
        type=column.type,
        handling=terms.handling(column.name),
        significant=not terms.significant or in_key or column.name in terms.significant,
        key_position=key.columns.index(column.name) + 1 if in_key else None,
        generated=column.generated,
    )


def _has_rows(table: Table) -> sql.Composed:
    return sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table.name.sql)


_INHERITS = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND NOT c.relispartition
    WHERE %(oid)s::pg_catalog.oid IN (i.inhrelid, i.inhparent)
)
"""


def _inherits(table: Table, *, using: str) -> bool:
    """A statement on a table shows what inherits from it with the table's own columns only."""
    with connections[using].cursor() as cursor:
        cursor.execute(_INHERITS, {"oid": table.oid})
        return bool(cursor.fetchone()[0])


def _history_name(name: TableName, *, using: str) -> str:
    """`schema__table`; with a hash where that is too long or taken: `a__b` may mean two tables."""
    plain = f"{name.schema}__{name.name}"
    with connections[using].cursor() as cursor:
        for number in range(1000):
            mark = "" if number == 0 else f"_{_digest(name, number)}"
            room = LONGEST_HISTORY_NAME - len(mark)
            cut = plain.encode()[:room].decode(errors="ignore")
            if cut != plain and not mark:
                continue
            candidate = cut + mark
            cursor.execute(
                "SELECT pg_catalog.to_regclass(pg_catalog.format('history.%%I', %s::text)) IS NULL",
                [candidate],
            )
            free = cursor.fetchone()[0]
            if free and not TrackedTable.objects.filter(history_name=candidate).exists():
                return candidate
    raise NotTrackable(f"No name is free for the history of {name}.")


def _digest(name: TableName, number: int) -> str:
    text = f"{name.schema}\0{name.name}\0{timezone.now().date()}\0{number}"
    return hashlib.sha256(text.encode()).hexdigest()[:6]
