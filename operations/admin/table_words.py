"""A table in a few words. Estimated: no page counts a large table."""

from __future__ import annotations

from operations.admin.show import number, size
from operations.catalogue.types import Table


def rows_words(table: Table) -> str:
    if table.estimated_rows < 0:
        return "rows unknown"
    return f"about {number(table.estimated_rows)} rows"


def table_words(table: Table) -> str:
    """`about 12,000 rows, 3.4 MiB`."""
    return f"{rows_words(table)}, {size(table.estimated_bytes)}"
