"""What the phases of one purge share: its plan, the tables it may touch, its archives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db import connections

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.models import Run
from operations.runs.kinds import Beat, PlanOutdated, Throttle
from operations.storage import Storage
from retention.models import RetentionPolicy
from retention.selectors.deletions_due import DueDeletions
from retention.selectors.dependents import Graph, dependents_graph
from retention.selectors.due import DueRows
from retention.selectors.softdelete_graph import Enabled, leaving_graph, marked_numbers
from retention.services.archive_writing import ArchiveWriter, archive_names
from retention.services.layout import fingerprint_of
from retention.services.purge_audit import PurgeAudit
from retention.services.purge_delete import lock_against_ddl
from retention.services.purge_parts import StepParts
from retention.services.purge_terms import refuse_unsafe

STEP_SECONDS = 1.5
"""From the first lock to a durable part; what is left of the 2 s is the commit's."""


class PurgeTask:
    """One run's, as long as one worker owns it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.using: str = run.database
        self.parameters: dict[str, Any] = run.parameters
        self.parts = StepParts()
        self.root_archive = ArchiveWriter(run) if self.parameters["archive"] else None

    # Read when first needed: a run can be cancelled although its table is gone.

    @cached_property
    def table(self) -> Table:
        return self._read(TableName(*self.parameters["table"]))

    def _read(self, name: TableName) -> Table:
        try:
            return read_table(name, using=self.using)
        except NoSuchTable as error:
            raise PlanOutdated(f"{error} What this run did is closed.") from error

    @cached_property
    def graph(self) -> Graph:
        named = self.parameters.get("dependents", [])
        if self.which is not None:
            enabled = Enabled(using=self.using)
            others = [self._read(TableName(*each)) for each in named]
            return leaving_graph([self.table, *others], enabled)
        return dependents_graph(table=self.table, dependents=named, using=self.using)

    @cached_property
    def which(self) -> DueDeletions | None:
        """What it destroys of the bin; None for a purge of the table."""
        return DueDeletions.from_parameters(self.parameters)

    @cached_property
    def marked(self) -> frozenset[int]:
        """The tables of the graph that have soft delete, by their numbers."""
        return marked_numbers(self.graph.tables, using=self.using)

    @property
    def marked_names(self) -> list[TableName]:
        return [self.graph.tables[number].name for number in sorted(self.marked)]

    @cached_property
    def audit(self) -> PurgeAudit:
        return PurgeAudit(self.graph.tables, run_id=self.run.pk, using=self.using)

    @cached_property
    def due(self) -> DueRows:
        return DueRows.from_parameters(self.table, self.parameters)

    @cached_property
    def archives(self) -> list[ArchiveWriter]:
        """Of the tables of the graph, by their numbers; none when nothing is archived."""
        if self.root_archive is None:
            return []
        root = self.root_archive
        beside = [
            ArchiveWriter(self.run, of=table.name, root=root) for table in self.graph.tables[1:]
        ]
        return [root, *beside]

    def pass_capture(self) -> None:
        """In every step: what it deletes is gone, and does not go into the bin."""
        if self.marked:
            with connections[self.using].cursor() as cursor:
                cursor.execute("SELECT custody.softdelete_pass()")

    def reap(self, store: Storage, *, waiting: Collection[str] = ()) -> None:
        """Clears what a killed worker left, under the run's lock. Asks nothing of the tables.

        Args:
            waiting: durable parts that the database is to know later.
        """
        if self.root_archive is None:
            return
        for table in archive_names(self.run):
            writer = ArchiveWriter(self.run, of=table, root=self.root_archive)
            writer.reap(store, waiting=waiting)

    # In every step, before anything is touched.

    def still_as_planned(self) -> None:
        """Raises PlanOutdated when the policy is another now."""
        if self.parameters["policy"] is None:
            return
        policy = RetentionPolicy.objects.filter(pk=self.parameters["policy"]).first()
        planned = self.parameters["policy_version"]
        if policy is None or not policy.enabled or policy.version != planned:
            raise PlanOutdated(
                f"Policy {self.parameters['policy_name']} was changed after this run was planned "
                f"(version {planned}). What it did is closed; start it again."
            )
        if self.which is None or self.which.deletion is None:
            refuse_unsafe(policy, self.graph)

    def lock_shape(self) -> None:
        """Keeps the tables' shape until the commit. Raises PlanOutdated when it is another now."""
        names = [table.name for table in self.graph.tables]
        for name in names:
            lock_against_ddl(name, using=self.using)
        if fingerprint_of(names, using=self.using) != self.parameters["fingerprint"]:
            raise self.outdated("its columns, or the foreign keys that point at it, are others")

    def outdated(self, what: str) -> PlanOutdated:
        names = " or ".join(str(table.name) for table in self.graph.tables)
        return PlanOutdated(
            f"{names} changed after this run was planned: {what}. "
            "What the run did is closed; start it again."
        )


@dataclass(frozen=True)
class PhaseStep:
    """What one step of a phase did."""

    cursor: dict[str, Any]
    done: int
    finished: bool
    """The phase is: the next one begins."""
    notes: tuple[str, ...] = field(default=())


class PurgePhase(ABC):
    """A part of a purge that has its own way through the rows. The hooks are those of RunKind.

    Its files are in `task.parts`: the purge itself undoes or keeps them.
    """

    destroys = True
    """What it takes from the tables is gone for good."""

    def __init__(self, task: PurgeTask) -> None:
        self.task = task

    @abstractmethod
    def leaves(self) -> list[TableName]:
        """The tables whose health slows it down."""

    def prepare(self, cursor: dict[str, Any], beat: Beat) -> None:
        """As RunKind.prepare, with the cursor from which the step will go on."""

    @abstractmethod
    def step(self, run: Run, cursor: dict[str, Any], began: float) -> PhaseStep:
        """As RunKind.step, after the policy and the tables' shape were looked at."""

    def throttle(self) -> Throttle | None:
        """As RunKind.throttle."""
        return None

    def committed(self) -> None:
        """As RunKind.committed."""

    def rolled_back(self, error: BaseException) -> None:
        """As RunKind.rolled_back."""
