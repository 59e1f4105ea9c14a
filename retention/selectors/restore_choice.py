"""What of an archive is to go back, and where to: the choices of one restore, as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operations.conditions.describe import describe
from operations.conditions.structure import Condition, from_json, to_json


@dataclass(frozen=True)
class ColumnChoice:
    """What a person says of columns that changed since the rows were archived."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """The table's column for an archived one, where that is not told by name or place."""
    left_out: frozenset[str] = frozenset()
    """Archived columns whose values do not go back."""
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By archived column: an enum's label of today for one of then."""


@dataclass(frozen=True)
class RestoreChoice:
    """All of it: without anything said, the whole archive goes back to its own table."""

    where: Condition | None = None
    """On the archived columns."""
    rows: tuple[tuple[int, int], ...] = ()
    """Part and line of single rows; empty chooses none of them."""
    columns: ColumnChoice = ColumnChoice()
    into_schema: str = ""
    """Another schema, where a table of the archived columns takes the rows."""
    with_dependents: bool = False
    """Also what went along with the chosen rows, from archives of its own."""

    @property
    def some(self) -> bool:
        """Not the whole archive."""
        return self.where is not None or bool(self.rows)

    def to_json(self) -> dict[str, Any]:
        return {
            "where": to_json(self.where) if self.where is not None else None,
            "rows": [list(row) for row in self.rows],
            "renamed": dict(self.columns.renamed),
            "left_out": sorted(self.columns.left_out),
            "labels": {name: dict(labels) for name, labels in self.columns.labels.items()},
            "into_schema": self.into_schema,
            "with_dependents": self.with_dependents,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RestoreChoice:
        return cls(
            from_json(data["where"]) if data["where"] else None,
            _places(data["rows"]),
            ColumnChoice(data["renamed"], frozenset(data["left_out"]), data["labels"]),
            data["into_schema"],
            data["with_dependents"],
        )

    def facts(self) -> dict[str, Any]:
        """For people: only what was said."""
        said: dict[str, Any] = {}
        if self.where is not None:
            said["rows_where"] = describe(self.where)
        if self.rows:
            said["rows_chosen"] = len(self.rows)
        if self.columns.renamed:
            said["columns_mapped"] = dict(self.columns.renamed)
        if self.columns.left_out:
            said["columns_left_out"] = sorted(self.columns.left_out)
        if self.columns.labels:
            said["labels_mapped"] = {k: dict(v) for k, v in self.columns.labels.items()}
        if self.into_schema:
            said["into_schema"] = self.into_schema
        if self.with_dependents:
            said["with_dependents"] = True
        return said


def _places(rows: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((part, line) for part, line in rows)
