"""The statements in `sql/`, asked for by name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from operations.catalogue.queries import Row
from operations.catalogue.queries import rows as rows_in

rows = partial(rows_in, folder=Path(__file__).parent / "sql")

__all__ = ["Row", "rows"]
