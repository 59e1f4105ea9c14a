"""Verifying in a process of its own: nothing is imported here before Django is set up in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditing.seals.found import Found
    from auditing.services.verify_work import Work


def process_begin(database: dict[str, Any], using: str) -> None:
    """Before the first piece: connects to the same database as the parent."""
    import django  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    django.setup()
    connections[using].settings_dict.update(database)


def process_do(work: Work, using: str) -> Found:
    """One piece."""
    from auditing.services.verify_work import work_do  # noqa: PLC0415

    return work_do(work, using)
