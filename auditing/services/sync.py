"""Adjusting the audit of a table to what the table has become.

Invariant: nothing that was captured is changed. A column that is new to the history begins there;
what was kept aside in `rest` until now stays where it is and is read from there.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from psycopg import sql

from auditing.exceptions import NotTracked
from auditing.models import AuditEvent, TrackedTable
from auditing.selectors.tracked import standings
from auditing.services.audit_views import audit_views_make
from auditing.services.brief_lock import with_brief_lock
from auditing.services.event_trigger import event_trigger_ensure
from auditing.services.events import event_add
from operations.catalogue.identifiers import Identifier

_NOW = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s::pg_catalog.oid
"""
_UNINDEXED = """
SELECT pg_catalog.count(*) > 0 FROM custody.audit_columns(%(tracked)s) c
WHERE c.key_position IS NOT NULL AND c.history_name IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
    WHERE i.indrelid = pg_catalog.to_regclass(%(history)s) AND i.indisvalid
      AND a.attname = c.history_name)
"""
_KEY = """
SELECT pg_catalog.array_agg(c.history_name ORDER BY c.key_position)
FROM custody.audit_columns(%s) c WHERE c.key_position IS NOT NULL AND c.history_name IS NOT NULL
"""
_PARTITIONS = """
SELECT c.relname FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%s)) p
JOIN pg_catalog.pg_class c ON c.oid = p.relid WHERE p.isleaf ORDER BY c.relname
"""


@dataclass(frozen=True)
class Synced:
    """What one adjustment did."""

    tracked: TrackedTable
    columns_added: tuple[str, ...]
    """To the history."""
    triggers_made: int
    renamed_from: str
    """Empty when the table has the name it had."""
    guarded_changed: bool

    @property
    def anything(self) -> bool:
        return bool(
            self.columns_added or self.triggers_made or self.renamed_from or self.guarded_changed
        )


def table_sync(tracked: TrackedTable, *, actor: User, reason: str = "") -> Synced:
    """Gives the history the columns it lacks, and the table the triggers; follows a new name.

    Columns with values that no trigger saw begin a baseline (`baseline_seq`), as in `table_track`.

    Raises:
        NotTracked: the table was dropped, or its audit ended.
        TableBusy: a transaction that uses the table or its history did not end in time.
    """
    using = tracked.database
    standing = next(iter(standings(only=tracked, using=using)), None)
    if standing is None or standing.dropped:
        raise NotTracked(
            f"{tracked} is not there any more. manage.py audit_untrack {tracked} ends its audit; "
            "its history stays."
        )
    guarded = not event_trigger_ensure(using=using)
    synced = with_brief_lock(
        lambda: _sync(tracked, guarded=guarded, actor=actor, reason=reason),
        what=f"{tracked} or its history",
        using=using,
    )
    _index_key(tracked)
    return synced


def _sync(tracked: TrackedTable, *, guarded: bool, actor: User, reason: str) -> Synced:
    tracked = TrackedTable.objects.select_for_update().get(pk=tracked.pk)
    with connections[tracked.database].cursor() as cursor:
        cursor.execute(_NOW, [tracked.table_oid])
        schema, name = cursor.fetchone()
        renamed_from = (
            "" if (schema, name) == (tracked.schema_name, tracked.table_name) else (str(tracked))
        )
        guarded_changed = tracked.guarded != guarded
        tracked.schema_name, tracked.table_name = schema, name
        tracked.guarded, tracked.synced_at = guarded, timezone.now()
        tracked.save(update_fields=["schema_name", "table_name", "guarded", "synced_at"])
        cursor.execute("SELECT custody.audit_columns_changed(%s)", [tracked.pk])
        cursor.execute("SELECT * FROM custody.audit_history_columns_add(%s)", [tracked.pk])
        added = cursor.fetchall()
        if added:
            cursor.execute(_add_columns(tracked, added))
        cursor.execute("SELECT custody.audit_triggers_make(%s)", [tracked.pk])
        made = cursor.fetchone()[0]
        cursor.execute("SELECT custody.capture_make(%s)", [tracked.pk])
    synced = Synced(tracked, tuple(row[0] for row in added), made, renamed_from, guarded_changed)
    if synced.anything:
        event_add(
            AuditEvent.Kind.SYNC,
            tracked,
            actor=actor,
            reason=reason,
            detail={
                "columns": list(synced.columns_added),
                "triggers": made,
                "renamed_from": renamed_from,
            },
        )
    tracked.refresh_from_db()
    audit_views_make(tracked=tracked)
    return synced


def _add_columns(tracked: TrackedTable, added: list[tuple[str, str, int]]) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} {}").format(
        tracked.history.sql,
        sql.SQL(", ").join(
            sql.SQL("ADD COLUMN {} {}").format(
                Identifier(name), Identifier(*type_name.replace('"', "").split(".", 1))
            )
            for name, type_name, _ in added
        ),
    )


def _index_key(tracked: TrackedTable) -> None:
    """A key whose type changed has a new column in the history: it is indexed without a lock.

    Partition by partition, CONCURRENTLY. Interrupted, the next adjustment goes on.
    """
    with connections[tracked.database].cursor() as cursor:
        history = str(tracked.history)
        cursor.execute(_UNINDEXED, {"tracked": tracked.pk, "history": history})
        if not cursor.fetchone()[0]:
            return
        cursor.execute(_KEY, [tracked.pk])
        columns = sql.SQL(", ").join(
            [*[Identifier(name) for name in cursor.fetchone()[0]], Identifier("seq")]
        )
        digest = f"{tracked.pk}_{tracked.synced_at:%Y%m%d%H%M%S}"
        parent = Identifier(f"key_{digest}")
        cursor.execute(
            sql.SQL("CREATE INDEX {} ON ONLY {} ({})").format(parent, tracked.history.sql, columns)
        )
        cursor.execute(_PARTITIONS, [history])
        for number, (leaf,) in enumerate(cursor.fetchall()):
            index = Identifier(f"key_{digest}_{number}")
            cursor.execute(
                sql.SQL("CREATE INDEX CONCURRENTLY {} ON {} ({})").format(
                    index, Identifier("history", leaf), columns
                )
            )
            cursor.execute(
                sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
                    Identifier("history", f"key_{digest}"),
                    Identifier("history", f"key_{digest}_{number}"),
                )
            )
