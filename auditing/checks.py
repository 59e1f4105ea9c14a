"""System checks of the audit, `manage.py check --database default`:

- auditing.W001: triggers of an audited table are missing or off; such changes leave no version.
- auditing.W002: its columns changed; new ones are kept aside until `audit_sync`.
- auditing.W003: its key is no key any more.
- auditing.W004: it was dropped, or has another name.
- auditing.W005: changes that logical replication applies leave no version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db import DatabaseError, transaction

from auditing.selectors.tracked import Standing, standings


@checks.register(checks.Tags.database)
def check_audited_tables(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """One warning for each fault of each audited table."""
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        try:
            with transaction.atomic(using=alias):
                standing_all = standings(using=alias)
        except DatabaseError:
            # Not migrated yet: the check runs before `migrate` too.
            continue
        for standing in standing_all:
            found += _warnings(standing)
    return found


def _warnings(standing: Standing) -> list[checks.CheckMessage]:
    table = standing.tracked
    told = [
        (standing.triggers_missing, 1, "has triggers that are missing or off"),
        (standing.columns_changed or standing.spilled, 2, "has columns the history does not know"),
        (standing.key_lost, 3, "has lost the key that tells its rows apart"),
        (standing.dropped or standing.renamed, 4, "was dropped or has another name"),
        (standing.not_always and not standing.dropped, 5, "is not audited in replica sessions"),
    ]
    return [
        checks.Warning(
            f"The audited table {table} {what}.",
            hint=f"manage.py audit_status {table} tells more, audit_sync mends what it can.",
            obj=str(table),
            id=f"auditing.W{number:03}",
        )
        for is_so, number, what in told
        if is_so
    ]
