"""Whether anybody protects a row of a partition that is to go whole."""

from __future__ import annotations

from dataclasses import replace

from django.db import connections
from psycopg import sql

from operations import vetoes
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table
from retention.selectors.partition_standing import Standing
from retention.selectors.partition_units import Unit


def partition_held(unit: Unit, here: Standing, root: Table, *, using: str) -> str:
    """By whom; empty: by nobody. In a transaction nobody can from here on until it ends.

    What is placed on the table counts whether the partition is attached or not, and what names the
    partition counts although it is detached.
    """
    parent = root if here.parent == root.name else read_table(here.parent, using=using)
    found = vetoes.protections(parent, using=using)
    if here.place != "attached":
        # Its columns are the table's; of its own only the oid and the name tell it apart.
        itself = replace(root, oid=unit.oid, name=here.table)
        found += vetoes.protections(itself, using=using)
    for protection in found:
        if protection.rows is None:
            return protection.by
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} t WHERE ({}) IS NOT FALSE)").format(
            here.table.sql, protection.rows
        )
        with connections[using].cursor() as cursor:
            cursor.execute(query)
            if cursor.fetchone()[0]:
                return protection.by
    return ""
