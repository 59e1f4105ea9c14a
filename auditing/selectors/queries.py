"""The statements in `sql/`, asked for by name, and the settings that texts of values depend on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from operations.catalogue.queries import Row
from operations.catalogue.queries import rows as rows_in
from operations.session import set_local

rows = partial(rows_in, folder=Path(__file__).parent / "sql")

PRINTED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
}
"""Settings of a session that decide how PostgreSQL prints and reads a value."""

__all__ = ["PRINTED", "Row", "pin", "rows"]


def pin(*, using: str) -> None:
    """Until the end of the transaction the same value has the same text, whoever asks."""
    set_local(PRINTED, using=using)
