"""The terms of a policy as a value: what is compared, proposed, approved, exported and imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from operations.catalogue.types import TableName
from operations.conditions.describe import describe
from operations.conditions.structure import Condition, from_json, to_json
from retention.models import RetentionPolicy


@dataclass(frozen=True)
class PolicyTerms:
    """Everything about a policy that a person decides. What each means: RetentionPolicy."""

    name: str
    table: TableName
    age_column: str = ""
    keep_hours: int | None = None
    keep_condition: Condition | None = None
    archive_first: bool = False
    archive_days: int | None = None
    soft_delete: bool = False
    dependents: tuple[TableName, ...] = ()
    """By name, each once: in which order they go is for the purge to say."""
    owner: str = ""
    legal_basis: str = ""
    enabled: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "dependents", tuple(sorted(set(self.dependents))))

    @property
    def removes(self) -> bool:
        """Whether rows are ever destroyed by these terms: past their term, or in the bin."""
        return self.enabled and (self.keep_hours is not None or self.soft_delete)

    @property
    def keep_text(self) -> str:
        """The keep condition as it reads in SQL; empty without one."""
        return describe(self.keep_condition) if self.keep_condition is not None else ""

    @classmethod
    def of(cls, policy: RetentionPolicy) -> PolicyTerms:
        """The terms in force."""
        return cls.from_json({name: getattr(policy, name) for name in _FIELDS})

    def to_json(self) -> dict[str, Any]:
        """The values of RetentionPolicy's fields: as the policy, a run or a session keeps them."""
        document: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        return {
            **document,
            "schema_name": self.table.schema,
            "table_name": self.table.name,
            "keep_condition": to_json(self.keep_condition) if self.keep_condition else None,
            "dependents": [[table.schema, table.name] for table in self.dependents],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> PolicyTerms:
        """What `to_json` wrote."""
        keep = document["keep_condition"]
        return cls(
            table=TableName(document["schema_name"], document["table_name"]),
            keep_condition=from_json(keep) if keep else None,
            dependents=tuple(TableName(*pair) for pair in document["dependents"]),
            **{name: document[name] for name in _PLAIN},
        )


_PLAIN = (
    "name",
    "age_column",
    "keep_hours",
    "archive_first",
    "archive_days",
    "soft_delete",
    "owner",
    "legal_basis",
    "enabled",
)
_FIELDS = (*_PLAIN, "schema_name", "table_name", "keep_condition", "dependents")
