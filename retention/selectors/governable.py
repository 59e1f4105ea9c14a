"""The tables that a policy can be made for, each with the policy it has."""

from __future__ import annotations

from dataclasses import dataclass

from operations.catalogue.read import tables
from operations.catalogue.types import Table
from retention.models import RetentionPolicy


@dataclass(frozen=True)
class Governable:
    table: Table
    policy: RetentionPolicy | None
    """Its policy; the first by name when it has several."""


def governable(*, using: str = "default") -> list[Governable]:
    """Every table of users but partitions, which their table's policy covers, by name."""
    policies: dict[tuple[str, str], RetentionPolicy] = {}
    for policy in RetentionPolicy.objects.filter(database=using):
        policies.setdefault((policy.schema_name, policy.table_name), policy)
    return [
        Governable(table, policies.get((table.name.schema, table.name.name)))
        for table in tables(using=using)
        if table.partition_of is None
    ]
