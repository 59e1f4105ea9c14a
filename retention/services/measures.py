"""What is measured every day, so that pages show growth and due rows without counting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from django.db import DatabaseError, transaction
from django.utils import timezone

from operations.catalogue.read import tables
from operations.catalogue.types import Table
from operations.exceptions import CustodyError
from operations.services.scheduled_jobs import scheduled_job_begin
from retention.models import PolicyMeasure, RetentionPolicy, TableMeasure
from retention.selectors.policies import policies_runnable
from retention.services.purge_start import purge_preview

MEASURE_TAKE = "retention.measure_take"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Measured:
    """What one measuring came to."""

    tables: int
    policies: tuple[PolicyMeasure, ...]


def measure_take(
    *, using: str = "default", on_progress: Progress | None = None, nightly: bool = False
) -> Measured:
    """Measures every table by PostgreSQL's statistics and every policy by counting what is due.

    A second time on the same day replaces the first. One policy that cannot be measured keeps no
    other from it: its problem is stored.

    Args:
        on_progress: what is measured, how many are done, of how many.
    """
    if nightly:
        scheduled_job_begin(name=MEASURE_TAKE)
    today = timezone.localdate()
    found = {table.name: table for table in tables(using=using)}
    count = _measure_tables(list(found.values()), today, using)
    policies = [policy for policy in policies_runnable() if policy.database == using]
    measures = []
    for number, policy in enumerate(policies):
        if on_progress is not None:
            on_progress(policy.name, number, len(policies))
        measures.append(_measure_policy(policy, found.get(policy.table), today))
    return Measured(count, tuple(measures))


def _measure_tables(found: list[Table], today: date, using: str) -> int:
    # A partition is measured with the table it belongs to.
    rows = [
        TableMeasure(
            database=using,
            schema_name=table.name.schema,
            table_name=table.name.name,
            on=today,
            rows=table.estimated_rows,
            bytes=table.estimated_bytes,
        )
        for table in found
        if table.partition_of is None
    ]
    TableMeasure.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["database", "schema_name", "table_name", "on"],
        update_fields=["rows", "bytes"],
    )
    return len(rows)


def _measure_policy(policy: RetentionPolicy, table: Table | None, today: date) -> PolicyMeasure:
    values: dict[str, object] = {
        "at": timezone.now(),
        "due_rows": None,
        "due_bytes": None,
        "held_rows": None,
        "estimated": False,
        "problem": "",
    }
    try:
        with transaction.atomic(using=policy.database):
            facts = purge_preview(policy=policy).facts
    except (CustodyError, DatabaseError) as error:
        values["problem"] = " ".join(str(error).split())
    else:
        values["due_rows"] = facts["due"]
        values["held_rows"] = facts.get("protected")
        values["estimated"] = facts["estimated"]
        if table is not None and table.estimated_rows > 0:
            width = table.estimated_bytes / table.estimated_rows
            values["due_bytes"] = round(facts["due"] * width)
    measure, _ = PolicyMeasure.objects.update_or_create(policy=policy, on=today, defaults=values)
    return measure
