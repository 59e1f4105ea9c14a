"""Which tables are audited, and how each stands: what of it is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections

from auditing.exceptions import NotTracked
from auditing.models import TrackedTable
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.identifiers import quoted
from operations.catalogue.names import parse_table_name
from operations.catalogue.read import table_name_resolve
from operations.catalogue.types import TableName

_STANDING = """
SELECT t.id, n.nspname, c.relname,
       c.oid IS NOT NULL AND t.fingerprint <> custody.audit_print(t.id),
       c.oid IS NOT NULL AND custody.audit_triggers_missing(t.id),
       c.oid IS NOT NULL AND NOT custody.audit_key_holds(t.id),
       EXISTS (SELECT FROM pg_catalog.pg_trigger g
               WHERE (g.tgrelid = c.oid
                      OR g.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))
                 AND g.tgname LIKE 'custody\\_audit\\_%%' AND g.tgenabled <> 'A'),
       pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE'),
       ARRAY(SELECT x.name FROM custody.audit_columns(t.id) x
             WHERE c.oid IS NOT NULL AND x.history_name IS NULL AND x.handling = 'captured'
               AND x.generated <> 'v' ORDER BY x.attnum)
FROM custody.auditing_trackedtable t
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.table_oid::pg_catalog.oid AND c.relkind IN ('r', 'p')
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE t.untracked_at IS NULL AND (%(only)s::bigint IS NULL OR t.id = %(only)s)
ORDER BY t.schema_name, t.table_name
"""


@dataclass(frozen=True)
class Standing:
    """How one audited table stands. All false and empty: everything is captured as it should be."""

    tracked: TrackedTable
    now: TableName | None
    """What the table is called now; None when it was dropped."""
    columns_changed: bool
    """The capture function was made for other columns; it catches up by itself, more slowly."""
    triggers_missing: bool
    """On the table or a partition of it: those changes leave no version."""
    key_lost: bool
    """The columns that name a row are gone or not unique any more."""
    not_always: bool
    """A session with session_replication_role = replica leaves no versions."""
    owned: bool
    """The console's role may change the table's triggers."""
    spilled: tuple[str, ...]
    """Columns whose values go to the history's `rest` until the next `audit_sync`."""

    @property
    def dropped(self) -> bool:
        return self.now is None

    @property
    def renamed(self) -> bool:
        return self.now is not None and self.now != self.tracked.table

    @property
    def baseline_pending(self) -> bool:
        return self.tracked.baseline_seq is not None

    @property
    def problems(self) -> list[str]:
        """In words, the worst first; each with what mends it."""
        if self.dropped:
            return ["The table was dropped. audit_untrack ends its audit; its history stays."]
        told = {
            "Triggers are missing or off: such changes leave no version. Run audit_sync.": (
                self.triggers_missing
            ),
            "Its key is no key any more: rows cannot be told apart. Restore the primary key.": (
                self.key_lost
            ),
            "Its columns changed: versions are written more slowly. Run audit_sync.": (
                self.columns_changed
            ),
            f"New columns are kept aside: {', '.join(map(quoted, self.spilled))}. "
            "Run audit_sync.": bool(self.spilled),
            f"The table is called {self.now} now. Run audit_sync.": self.renamed,
            "Its triggers do not fire in replica sessions any more. Run audit_sync.": (
                self.not_always and self.owned
            ),
        }
        return [text for text, is_so in told.items() if is_so]

    @property
    def remarks(self) -> list[str]:
        """What is worth knowing and no fault."""
        told = {
            "The baseline is not finished: rows that nobody changed have no version yet.": (
                self.baseline_pending
            ),
            "Changes applied by logical replication leave no versions: only the table's owner can "
            "set its triggers to ALWAYS.": self.not_always and not (self.dropped or self.owned),
            "Without the right to make event triggers, each statement looks for changed columns "
            "itself.": self.tracked.guarded,
        }
        return [text for text, is_so in told.items() if is_so]


def tracked_tables(*, using: str = "default") -> list[TrackedTable]:
    """The audited tables, by name."""
    return list(TrackedTable.objects.filter(database=using, untracked_at__isnull=True))


def tracked_get(name: TableName | str, *, using: str = "default") -> TrackedTable:
    """The audit of this table; of a table whose audit ended or that is gone, the last one.

    Raises:
        NotTracked: with how to begin.
        BadTableName, AmbiguousTableName: as the catalogue does.
    """
    try:
        found = name if isinstance(name, TableName) else table_name_resolve(name, using=using)
    except NoSuchTable:
        last = _last_named(str(name), using=using)
        if last is None:
            raise
        found = last
    audits = TrackedTable.objects.filter(
        database=using, schema_name=found.schema, table_name=found.name
    ).order_by("-id")
    tracked = audits.filter(untracked_at__isnull=True).first() or audits.first()
    if tracked is None:
        raise NotTracked(f"{found} is not audited. manage.py audit_track {found} begins it.")
    return tracked


def _last_named(text: str, *, using: str) -> TableName | None:
    schema, name = parse_table_name(text)
    audits = TrackedTable.objects.filter(database=using, table_name=name).order_by("-id")
    if schema is not None:
        audits = audits.filter(schema_name=schema)
    found = audits.first()
    return found.table if found else None


def standings(*, only: TrackedTable | None = None, using: str = "default") -> list[Standing]:
    """How the audited tables stand, by name."""
    audits = {tracked.pk: tracked for tracked in tracked_tables(using=using)}
    with connections[using].cursor() as cursor:
        cursor.execute(_STANDING, {"only": only.pk if only else None})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return [
        Standing(
            tracked=audits[row[0]],
            now=TableName(row[1], row[2]) if row[2] is not None else None,
            columns_changed=row[3],
            triggers_missing=row[4],
            key_lost=row[5],
            not_always=row[6],
            owned=bool(row[7]),
            spilled=tuple(row[8]),
        )
        for row in rows
        if row[0] in audits
    ]
