"""Everything a person looks at before rows are destroyed, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from retention.selectors.bin_standing import BinStanding
from retention.selectors.preview_amounts import Amount
from retention.selectors.preview_dependents import Dependent
from retention.selectors.preview_rows import SampleRows
from retention.selectors.preview_tally import KINDS, Counts, Kind


@dataclass(frozen=True)
class Caution:
    """Something that is asked twice: the terms may not be the ones that were meant."""

    kind: Literal["empties", "future"]
    text: str


@dataclass(frozen=True)
class Space:
    """Bytes. Deleting gives none back to the system by itself."""

    reusable: Amount | None
    """That new rows of the table can take, after VACUUM: rows, TOAST and index entries."""
    archive: Amount | None
    """Compressed, as earlier archives of the policy were; None when there is none to judge by."""

    def to_json(self) -> dict[str, Any]:
        return {
            "reusable_bytes": self.reusable.to_json() if self.reusable else None,
            "archive_bytes": self.archive.to_json() if self.archive else None,
        }


@dataclass(frozen=True)
class Duration:
    """How long a purge would take."""

    seconds: float
    rows_a_second: float
    basis: str
    """Where the rate comes from."""

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 1),
            "rows_a_second": round(self.rows_a_second),
            "basis": self.basis,
        }


@dataclass(frozen=True)
class PolicyPreview:
    """What a purge by a policy would do now. Nothing was changed."""

    policy: str
    version: int | None
    """None for terms that are not in force."""
    table: str
    term: str
    age_column: str
    keep_while: str
    disposition: str
    at: datetime
    cutoff: datetime | None
    """None when rows are kept for ever."""
    table_bytes: int
    counts: Counts | None
    """None when nothing can be due, or be counted."""
    dependents: tuple[Dependent, ...]
    samples: SampleRows | None
    space: Space
    duration: Duration | None
    walk: dict[str, Any] | None
    remains: tuple[str, ...]
    """Where copies of the rows are afterwards."""
    cautions: tuple[Caution, ...]
    refusals: tuple[str, ...]
    """Why a purge would be refused as things are."""
    notes: tuple[str, ...]
    took: float
    """Seconds."""
    bin: BinStanding | None = None
    """Of a policy with soft deletion: what of the bin would be destroyed, and what waits."""

    @property
    def due(self) -> Amount | None:
        return self.counts.get("due") if self.counts else None

    @property
    def at_most(self) -> bool:
        """Rows that others refer to could not be told apart from the due ones in time."""
        told = self.counts is not None and self.counts.get("referenced") is not None
        return self.counts is not None and not told

    @property
    def unindexed(self) -> tuple[Dependent, ...]:
        return tuple(each for each in self.dependents if each.index)

    def to_json(self) -> dict[str, Any]:
        """All of it; the rows as they are shown, masked."""
        return {
            "policy": self.policy,
            "policy_version": self.version,
            "table": self.table,
            "term": self.term,
            "age_column": self.age_column or None,
            "keep_while": self.keep_while or None,
            "disposition": self.disposition,
            "at": self.at.isoformat(),
            "cutoff": self.cutoff.isoformat() if self.cutoff else None,
            "table_bytes": self.table_bytes,
            **_counts_json(self.counts),
            "due": self.due.value if self.due else None,
            "due_at_most": self.at_most,
            "estimated": self.at_most or (self.due is not None and self.due.estimated),
            "dependents": [each.to_json() for each in self.dependents],
            "unindexed_foreign_keys": [each.key.name for each in self.unindexed],
            **self.space.to_json(),
            "duration": self.duration.to_json() if self.duration else None,
            "walk": self.walk,
            "bin": self.bin.to_json() if self.bin else None,
            "remains": list(self.remains),
            "cautions": [{"kind": each.kind, "text": each.text} for each in self.cautions],
            "refusals": list(self.refusals),
            "notes": list(self.notes),
            "samples": self.samples.to_json() if self.samples else None,
            "took_seconds": round(self.took, 2),
        }


def _counts_json(counts: Counts | None) -> dict[str, Any]:
    if counts is None:
        return {"counts": None, "method": None}
    kinds: tuple[Kind, ...] = (*KINDS, "bound")
    rows = {kind: amount.to_json() for kind in kinds if (amount := counts.get(kind)) is not None}
    return {
        "method": counts.method,
        "sampled_pages": counts.pages or None,
        "counts": {"total": counts.total.to_json(), **rows},
        "held_by": [{"by": by, "rows": amount.to_json()} for by, amount in counts.held_by],
        "oldest": counts.ages.oldest or None,
        "newest": counts.ages.newest or None,
        "latest": counts.ages.latest or None,
    }
