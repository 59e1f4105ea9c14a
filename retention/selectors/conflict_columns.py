"""Which columns of a record in conflict can be given another value, and what they are now.

A unique index may be on an expression or on a generated column: then the columns behind it count,
and those of its condition, since a row that the index does not cover is in nobody's way.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import connections
from psycopg import sql

from auditing.selectors.unkept import untold_names
from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column, Table
from retention.selectors.row_read import row_values
from retention.selectors.softdelete_marks import MARKS

_BEHIND = """
WITH RECURSIVE behind AS (
    SELECT p.refobjsubid AS attnum
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
    JOIN pg_catalog.pg_depend p ON p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
     AND p.objid IN (
        SELECT x.indexrelid UNION ALL SELECT o.oid FROM pg_catalog.pg_constraint o
        WHERE o.conindid = x.indexrelid AND o.conrelid = x.indrelid)
     AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.refobjid = x.indrelid
    WHERE x.indrelid = %(table)s AND c.relname = ANY (%(indexes)s)
    UNION
    SELECT k.attnum FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
    CROSS JOIN LATERAL unnest(x.indkey::pg_catalog.int2[]) AS k (attnum)
    WHERE x.indrelid = %(table)s AND c.relname = ANY (%(indexes)s)
    UNION
    SELECT p.refobjsubid
    FROM behind b
    JOIN pg_catalog.pg_attribute a ON a.attrelid = %(table)s AND a.attnum = b.attnum
     AND a.attgenerated <> ''
    JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    JOIN pg_catalog.pg_depend p ON p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
     AND p.refobjid = a.attrelid AND p.refobjsubid > 0
     AND ((p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid)
       OR (p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.objid = a.attrelid
           AND p.objsubid = a.attnum))
)
SELECT a.attname FROM behind b
JOIN pg_catalog.pg_attribute a ON a.attrelid = %(table)s AND a.attnum = b.attnum
WHERE a.attnum > 0
ORDER BY a.attnum
"""


def conflict_columns(
    table: Table, indexes: Collection[str], *, using: str = "default"
) -> tuple[Column, ...]:
    """The columns whose values decide, without those that nobody may be shown or can set.

    A reference to another row is one only where nothing else is.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(
            _BEHIND,
            {"table": table.oid, "indexes": list(indexes)},
        )
        names = [name for (name,) in cursor.fetchall()]
    key = set(table.key.columns) if table.key else set()
    untold = untold_names(table, using=using)
    found = [
        column
        for name in names
        if (column := table.column(name)) is not None
        and not column.generated
        and column.name not in key
        and column.name not in MARKS
        and column.name not in untold
    ]
    refers = {name for each in table.foreign_keys for name in each.columns}
    return tuple([column for column in found if column.name not in refers] or found)


def record_values(
    table: Table, record_id: str, columns: Collection[Column], *, using: str = "default"
) -> dict[str, str | None]:
    """What these columns of the record are, as text; empty where there is no such record."""
    if not columns:
        return {}
    texts = [
        sql.SQL("{}::pg_catalog.text").format(Identifier("t", column.name)) for column in columns
    ]
    found = row_values(table, record_id, texts, using=using)
    names = [column.name for column in columns]
    return dict(zip(names, found, strict=True)) if found is not None else {}
