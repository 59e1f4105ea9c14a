"""The session settings under which the storefront is loaded, put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

_SETTINGS = {
    # No name in our SQL may be caught by an object of the database's own.
    "search_path": "pg_catalog",
    # Rows hold images of other rows as jsonb: their text must not depend on who loads.
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "extra_float_digits": "1",
    # Compiling costs more than these statements take.
    "jit": "off",
    "work_mem": "32MB",
    # An index of the largest scale takes longer than what a console's statement may.
    "statement_timeout": "0",
}


@contextmanager
def session_settings(cursor: psycopg.Cursor[Any]) -> Iterator[None]:
    """Sets them for the running transaction. After an error PostgreSQL puts them back itself."""
    before = {
        name: cursor.execute("SELECT pg_catalog.current_setting(%s)", [name]).fetchone()
        for name in _SETTINGS
    }
    for name, value in _SETTINGS.items():
        cursor.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])
    yield
    for name, row in before.items():
        cursor.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, row and row[0]])
