"""Columns whose values the audit does not keep: masked, or left out altogether.

Whoever decided so wants them to stand nowhere but in their table: no page and no command shows
them, in the bin or in what a search found.
"""

from __future__ import annotations

from auditing.models import Handling, TrackedColumn
from operations.catalogue.types import Table
from operations.readable import is_secret


def unkept_columns(table_oid: int, *, using: str = "default") -> frozenset[int]:
    """Their attnums; none of a table that is not audited now."""
    found = TrackedColumn.objects.filter(
        tracked__database=using,
        tracked__table_oid=table_oid,
        tracked__untracked_at=None,
        dropped_at=None,
    )
    return frozenset(found.exclude(handling=Handling.CAPTURED).values_list("attnum", flat=True))


def untold_names(table: Table, *, using: str = "default") -> frozenset[str]:
    """The names of these columns, and of those that open something: what nobody is told."""
    unkept = unkept_columns(table.oid, using=using)
    return frozenset(
        column.name for column in table.columns if column.position in unkept or is_secret(column)
    )
