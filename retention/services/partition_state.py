"""How far a run is with the partitions that it drops whole: kept in its cursor.

    waiting ──► (carrying) ──► detaching ──► detached ──► (forgetting) ──► dropped
       │            │              │             └──► attached again, then left to the batches
       └────────────┴──────────────┴────────────────► left to the batches

`carrying` is for a history only, and `forgetting` for an audited table: its rows are gone by then.
`detaching` is committed before PostgreSQL is asked to detach, so whoever takes the run over knows
whose detached table it finds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from operations.models import Run
from retention.selectors.partition_units import Unit

KEY = "partitions"
Stage = Literal["waiting", "carrying", "detaching", "detached", "forgetting"]


@dataclass
class Dropped:
    table: str
    rows: int
    bytes: int
    """Given back to the operating system."""


@dataclass
class Left:
    """A partition that is purged by batches after all."""

    table: str
    why: str


@dataclass
class PartitionState:
    """The unit under way and how far it is; what became of the ones before."""

    at: int = 0
    """Place of the unit under way in the run's parameters."""
    stage: Stage = "waiting"
    since: float = 0.0
    """Unix time at which it came to this stage."""
    checks: list[str] = field(default_factory=list)
    """Its CHECK constraints before it was detached: that adds one, which goes again."""
    nodes: list[list[Any]] = field(default_factory=list)
    """What is archived, so that a change of it is noticed: see `DetachedLeaf.identity`."""
    leaf: int = 0
    """Of the unit's leaves, by oid, the one that is copied."""
    after: list[str] | None = None
    """Where in it."""
    rows: int = 0
    """Copied so far."""
    parts: list[dict[str, Any]] = field(default_factory=list)
    """Durable parts of a unit that is not dropped yet: for the database they do not exist."""
    forgetting: int | None = None
    """The tracked table from whose history the rows of the unit go."""
    dropped: list[Dropped] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    @classmethod
    def of(cls, cursor: dict[str, Any]) -> PartitionState:
        kept = cursor.get(KEY)
        if kept is None:
            return cls()
        return cls(
            **{
                **kept,
                "dropped": [Dropped(**each) for each in kept["dropped"]],
                "left": [Left(**each) for each in kept["left"]],
            }
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def next_unit(self) -> None:
        self.at += 1
        self.stage, self.since = "waiting", 0.0
        self.nodes, self.checks, self.forgetting = [], [], None
        self.copy_again()

    def copy_again(self) -> None:
        """From the first row; the files so far are the caller's."""
        self.leaf, self.after, self.rows, self.parts = 0, None, 0, []

    @property
    def dropped_rows(self) -> int:
        return sum(each.rows for each in self.dropped)

    @property
    def dropped_bytes(self) -> int:
        return sum(each.bytes for each in self.dropped)


def planned_units(parameters: dict[str, Any]) -> list[Unit]:
    """The units that the run is to drop whole, in their order."""
    return [Unit.from_json(each) for each in parameters.get(KEY, ())]


def unit_under_way(run: Run) -> Unit | None:
    """The one that is being detached, or is and was not dropped yet."""
    state, units = PartitionState.of(run.cursor), planned_units(run.parameters)
    return units[state.at] if state.stage != "waiting" and state.at < len(units) else None


def waiting_files(cursor: dict[str, Any]) -> list[str]:
    """Parts that are durable and not known to the database yet."""
    return [part["file"] for part in PartitionState.of(cursor).parts]
