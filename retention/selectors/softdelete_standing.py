"""Whether what soft delete put on a table is still there, whole, and goes as far as it has to."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import names_by_oid
from operations.catalogue.types import Table, TableName
from retention.models import SoftDeleteTable
from retention.selectors.queries import rows
from retention.selectors.softdelete_closure import TableReader, taken_along
from retention.selectors.softdelete_steps import COLUMNS


@dataclass(frozen=True)
class Standing:
    row: SoftDeleteTable
    name: TableName
    """As it is now; that of the registry when the table is gone."""
    dropped: bool = False
    unready: bool = False
    """Enabling or disabling it did not come to its end."""
    repairable: tuple[str, ...] = ()
    """What is missing and can be made again."""
    lost: tuple[str, ...] = ()
    """What is missing and was not ours alone to make: sentences with what to do."""

    columns_lost: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """In sentences; empty when all is well."""
        if self.dropped:
            return (
                (
                    f"{self.name} is not there any more: manage.py softdelete_disable {self.name} "
                    "ends its soft delete."
                ),
            )
        if self.unready:
            back = "softdelete_disable" if self.row.made.get("disabling") else "softdelete_enable"
            return (f"A change of {self.name} was interrupted: manage.py {back} {self.name}",)
        found = [
            f"{each} of {self.name} is missing: manage.py softdelete_enable {self.name}"
            for each in self.repairable
        ]
        return (*found, *self.lost)


def standings(*, using: str = "default") -> list[Standing]:
    """Of every table that has soft delete, by name."""
    known = list(SoftDeleteTable.objects.using(using).filter(disabled_at=None))
    enabled = {row.table_oid for row in known}
    reader = TableReader(using)
    names = names_by_oid(enabled, using=using)
    return [_standing(row, names.get(row.table_oid), enabled, reader) for row in known]


def _standing(
    row: SoftDeleteTable, name: TableName | None, enabled: set[int], reader: TableReader
) -> Standing:
    using = reader.using
    if name is None:
        return Standing(row, row.table, dropped=True)
    if row.ready_at is None:
        return Standing(row, name, unready=True)
    try:
        table = reader.table(name)
    except NoSuchTable:
        return Standing(row, row.table, dropped=True)
    missing = [column for column in COLUMNS if table.column(column) is None]
    lost = [
        f"{name} has lost its column {column}: manage.py softdelete_enable {name} makes it again, "
        "without the values that it had."
        for column in missing
    ]
    gaps, off = list[str](), list[str]()
    if not missing:
        tree = rows("softdelete_marks", {"oids": [table.oid]}, using=using)
        if not (tree[0]["index"] and tree[0]["valid"]):
            gaps.append("The index on deletion_id")
        shield, off = _shield(row, using)
        gaps += shield
    return Standing(
        row,
        name,
        repairable=tuple(gaps),
        lost=(*lost, *off, *_uncovered(table, row, enabled, reader)),
        columns_lost=bool(missing),
    )


def _uncovered(
    table: Table, row: SoftDeleteTable, enabled: set[int], reader: TableReader
) -> list[str]:
    """Tables whose rows would go along and that have no soft delete: made since."""
    decided = [TableName(*each) for each in row.along]
    return [
        f"{child.name} has no soft delete, and its rows go along with those of {table.name} "
        f"({edge.key.name}): no record of {table.name} that has such rows can be deleted softly "
        f"until you run manage.py softdelete_enable {table.name}."
        for edge, child in taken_along(table, decided=decided, reader=reader)
        if child.oid not in enabled
    ]


_VIEW = """
SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = %(oid)s::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY 1)
     = ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             JOIN pg_catalog.pg_class v ON v.oid = a.attrelid AND v.relkind = 'v'
             JOIN pg_catalog.pg_class t ON t.oid = %(oid)s::pg_catalog.oid
                                       AND t.relnamespace = v.relnamespace
             WHERE v.relname = %(view)s AND a.attnum > 0 ORDER BY 1)
"""


def shield_gaps(row: SoftDeleteTable, *, using: str) -> list[str]:
    """What of the view, the guards, the policies and the triggers is missing, in words."""
    return _shield(row, using)[0]


def _shield(row: SoftDeleteTable, using: str) -> tuple[list[str], list[str]]:
    """What is missing, and sentences on triggers that somebody switched off: that may be meant."""
    with connections[using].cursor() as cursor:
        cursor.execute(_VIEW, {"oid": row.table_oid, "view": row.view_name})
        [whole] = cursor.fetchone()
    gaps = [] if whole else [f"The view {row.view}, or a column of it,"]
    off = []
    for each in rows("softdelete_shield", {"oid": row.table_oid}, using=using):
        if not each["off"]:
            gaps.append(f"The {each['kind']} {each['name']}")
            continue
        off.append(
            f"The trigger {each['name']} of {each['table']} is switched off: deleted rows can be "
            f"referred to, or are destroyed. ALTER TABLE {each['table']} ENABLE TRIGGER "
            f"{each['name']};"
        )
    return gaps, off
