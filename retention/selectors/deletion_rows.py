"""What a deletion took, and what it severed."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections

from operations.catalogue.types import TableName
from retention.models import Deletion


@dataclass(frozen=True)
class SeveredCount:
    """References of one foreign key that a deletion sets to NULL or to their default."""

    table: str
    constraint: str
    columns: tuple[str, ...]
    rows: int


def severed_counts(deletion: Deletion, *, using: str = "default") -> tuple[SeveredCount, ...]:
    """What the deletion severed, by foreign key."""
    query = """
    SELECT s.schema_name, s.table_name, s.constraint_name,
           ARRAY(SELECT jsonb_object_keys(min(s.was::text)::jsonb)), count(*)
    FROM custody.retention_severedreference s WHERE s.deletion_id = %s
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """
    with connections[using].cursor() as cursor:
        cursor.execute(query, [deletion.pk])
        return tuple(
            SeveredCount(str(TableName(schema, name)), constraint, tuple(columns), rows)
            for schema, name, constraint, columns, rows in cursor.fetchall()
        )
