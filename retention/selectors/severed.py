"""Which references a deletion set to NULL or to their default, counted by foreign key."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections

from operations.catalogue.types import TableName
from retention.models import Deletion
from retention.selectors.preview_budget import Budget, TooSlow

SECONDS = 1.0
"""For a page; what was not counted by then is shown without a number."""
_COUNTS = """
SELECT s.schema_name, s.table_name, s.constraint_name,
       ARRAY(SELECT jsonb_object_keys(min(s.was::text)::jsonb)), count(*),
       bool_or(jsonb_strip_nulls(s.became) <> '{}')
FROM custody.retention_severedreference s WHERE s.deletion_id = %s
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


@dataclass(frozen=True)
class SeveredCount:
    """References of one foreign key that a deletion set to NULL or to their default."""

    table: str
    constraint: str
    columns: tuple[str, ...]
    rows: int
    to_default: bool = False
    """They were set to their default, not to NULL."""

    @property
    def words(self) -> str:
        """What was done to the columns: `user_id set to NULL`."""
        value = "its default" if self.to_default else "NULL"
        return f"{', '.join(self.columns)} set to {value}"


def severed_counts(deletion: Deletion, *, using: str = "default") -> tuple[SeveredCount, ...]:
    """What the deletion severed, however long it takes to count."""
    with connections[using].cursor() as cursor:
        cursor.execute(_COUNTS, [deletion.pk])
        return _read(cursor.fetchall())


def severed_counts_soon(
    deletion: Deletion, *, using: str = "default"
) -> tuple[SeveredCount, ...] | None:
    """The same for a page; None when there was no time."""
    try:
        with Budget(SECONDS).limited(SECONDS, using=using) as cursor:
            cursor.execute(_COUNTS, [deletion.pk])
            return _read(cursor.fetchall())
    except TooSlow:
        return None


def _read(rows: list[tuple[str, str, str, list[str], int, bool]]) -> tuple[SeveredCount, ...]:
    return tuple(
        SeveredCount(str(TableName(schema, name)), constraint, tuple(columns), count, default)
        for schema, name, constraint, columns, count, default in rows
    )
