"""The columns that soft delete adds to a table."""

from __future__ import annotations

from psycopg import sql

DELETION = "deletion_id"
"""The column that marks a row as one of a deletion."""
MARKS = ("deleted_at", "deleted_by", DELETION)
"""All NULL in an active row, and all set in one of the bin."""


def is_active(alias: str) -> sql.Composable:
    """The row of this alias, of a table with soft delete, is not in the bin."""
    return sql.SQL("{} IS NULL").format(sql.Identifier(alias, MARKS[0]))
