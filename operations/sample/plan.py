"""Which statement fills which table, and with how many rows."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = "shop"
SLICE_ROWS = 50_000
# Below this the shares (a tenth of the people at the start, one in fifty heavy) mean nothing.
FEWEST_USERS = 20


@dataclass(frozen=True)
class Fill:
    """One table, filled by `sql/<table>.sql` in slices of its row numbers, from 1 to `rows`."""

    table: str
    rows: int


# Rows at scale 1, in the order of filling: a statement reads only what stands above it.
_ROWS = {
    "products": 400,
    "users": 5_000,
    "addresses": 7_000,
    "sessions": 20_000,
    "orders": 11_000,
    "messages": 8_000,
    "notifications": 15_000,
    "notification_preferences": 15_000,
    "password_reset_tokens": 1_500,
    "analytics_events": 80_000,
    "audit_logs": 15_000,
    "documents": 3_000,
}
TABLES = (*_ROWS, "order_lines")


def fill_plan(*, scale: float) -> list[Fill]:
    """The tables in the order of filling. Order lines come with their orders, about 2 each."""
    users = max(FEWEST_USERS, round(_ROWS["users"] * scale))
    return [
        Fill(table=table, rows=max(1, round(rows * users / _ROWS["users"])))
        for table, rows in _ROWS.items()
    ]
