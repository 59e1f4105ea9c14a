"""What a verification says of one thing: a finding, in words and with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["altered", "missing", "added", "chain", "anchor", "proof", "live", "capture"]


@dataclass(frozen=True)
class Finding:
    """Without what is a number of this run's only, so that two looks can be compared."""

    kind: Kind
    text: str
    tracked: int | None = None
    source: str = ""
    record_id: str = ""
    number: int | None = None
    block: int | None = None


@dataclass(frozen=True)
class Found:
    """What one piece of work came to."""

    checked: int
    """Leaves, rows or blocks that were looked at."""
    findings: tuple[Finding, ...] = ()
    pending: int = 0
    """Rows that are not sealed yet and need not be."""
    retired: int = 0
    """Leaves whose rows went by the console's own doing, with proof."""
    unproved: int = 0
    """Likewise by a run that is not over yet."""
    remarks: tuple[str, ...] = ()
    """What could not be looked at, and is no fault of the log."""
