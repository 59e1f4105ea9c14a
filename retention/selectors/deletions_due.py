"""Which deletions are to be destroyed: those whose grace is over, or one that somebody named."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet, Sum
from psycopg import sql

from operations.catalogue.read import names_by_oid
from operations.catalogue.types import Table
from retention.models import Deletion, DeletionTable
from retention.selectors.dependents import Graph
from retention.selectors.softdelete_graph import Enabled, leaving_graph

ROWS = Sum(
    F("tables__deleted") - F("tables__restored") - F("tables__moved") - F("tables__purged"),
    default=0,
)
"""Of a deletion, how many rows of it are in the bin."""


@dataclass(frozen=True)
class DueDeletions:
    """Of one table, where they began, before a moment; or one by its number."""

    database: str
    table_oid: int
    before: datetime
    """The grace of these ended before it."""
    deletion: int | None = None
    """This one alone, whether its grace is over or not."""

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> DueDeletions | None:
        """Of a run; None when it does not go through the bin."""
        found = parameters.get("bin")
        if found is None:
            return None
        before = datetime.fromisoformat(found["before"])
        return cls(found["database"], found["table_oid"], before, found["deletion"])

    def to_json(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "table_oid": self.table_oid,
            "before": self.before.isoformat(),
            "deletion": self.deletion,
        }

    @property
    def numbers(self) -> sql.Composable:
        """A query for the ids of those in the bin."""
        return sql.SQL(
            "SELECT d.id FROM custody.retention_deletion d"
            " WHERE d.state = 'deleted' AND d.database = {} AND {}"
        ).format(sql.Literal(self.database), _literal(self))

    def query(self, *, run_id: int | None = None) -> QuerySet[Deletion]:
        """In the order of their numbers: what refers to something older in the bin comes later.

        Args:
            run_id: of a run that has begun with some of them.
        """
        state = Q(state=Deletion.State.DELETED)
        if run_id is not None:
            state |= Q(state=Deletion.State.PURGING, run_id=run_id)
        found = Deletion.objects.filter(state, database=self.database)
        if self.deletion is not None:
            return found.filter(pk=self.deletion)
        return found.filter(table_oid=self.table_oid, purge_after__lte=self.before).order_by("id")


def _literal(which: DueDeletions) -> sql.Composable:
    if which.deletion is not None:
        return sql.SQL("d.id = {}").format(sql.Literal(which.deletion))
    return sql.SQL("d.table_oid = {} AND d.purge_after <= {}").format(
        sql.Literal(which.table_oid), sql.Literal(which.before)
    )


def bin_graph(table: Table, which: DueDeletions, *, using: str) -> Graph:
    """The tables of which such deletions have rows now, the one where they began first.

    A deletion may have begun in several tables: one transaction of the application, captured.
    """
    enabled = Enabled(using=using)
    oids = list(
        DeletionTable.objects.filter(deletion__in=which.query().order_by())
        .exclude(table_oid=table.oid)
        .order_by("table_oid")
        .values_list("table_oid", flat=True)
        .distinct()
    )
    names = names_by_oid(oids, using=using)
    besides = [
        found
        for oid in oids
        if oid in names and enabled.of(found := enabled.table(names[oid])) is not None
    ]
    return leaving_graph([table, *besides], enabled)
