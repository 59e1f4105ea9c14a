"""A table with soft delete in a few words."""

from __future__ import annotations

from operations.admin.show import number
from retention.models import SoftDeleteTable


def grace_words(table: SoftDeleteTable) -> str:
    """`30 days`."""
    return f"{number(table.grace_days)} day{'' if table.grace_days == 1 else 's'}"
