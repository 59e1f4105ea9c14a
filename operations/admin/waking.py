"""Telling a worker that a run wants it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec


def wake(run_id: int) -> None:
    if find_spec("operations.tasks") is not None:
        import_module("operations.tasks").wake(run_id)
