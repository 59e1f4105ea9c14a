"""Numbers of rows and bytes: counted, or estimated from a sample with what they lie between.

Whole pages are sampled, each with the same probability, and rows that were written together lie
together: so the spread is computed over pages, not rows (the Horvitz-Thompson estimator for
clusters). Literature: Lohr, "Sampling: Design and Analysis", chapters 5 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SURE = 2.576
"""Standard deviations that 99 of 100 samples stay within."""
UNSEEN = 4.61
"""What 99 of 100 samples see at least one of: so many pages are expected to be in the sample."""
_UNITS = ((1_000_000_000, "billion"), (1_000_000, "million"))


@dataclass(frozen=True)
class Amount:
    """A number, and what it lies between: in 99 of 100 cases where it is estimated."""

    value: int
    low: int
    high: int

    @property
    def estimated(self) -> bool:
        return self.low != self.high

    def __str__(self) -> str:
        """`812`, or `about 3,100,000, between 2.9 and 3.3 million`."""
        return f"{self.about}, {self.between}" if self.estimated else self.about

    @property
    def about(self) -> str:
        """`812`, or `about 3,100,000`, or `none seen`."""
        if not self.estimated:
            return f"{self.value:,}"
        return f"about {rounded(self.value):,}" if self.value else "none seen"

    @property
    def between(self) -> str:
        """`between 2.9 and 3.3 million`; empty for a number that was counted."""
        if not self.estimated:
            return ""
        low, high = rounded(self.low, up=False), rounded(self.high, up=True)
        if not self.value:
            return f"{high:,} at most"
        for size, unit in _UNITS:
            if high >= size and (low >= size / 10 or not low):
                return f"between {low / size:,.4g} and {high / size:,.4g} {unit}"
        return f"between {low:,} and {high:,}"

    @property
    def bounds(self) -> tuple[int, int, int]:
        """The number, and what it lies between."""
        return self.value, self.low, self.high

    def times(self, factor: float) -> Amount:
        return Amount(*(round(each * factor) for each in self.bounds))

    def to_json(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "estimated": self.estimated,
        }


def counted(value: int) -> Amount:
    return Amount(value, value, value)


def rounded(value: int, *, up: bool | None = None) -> int:
    """Two digits that count, of a large number; three of its bounds, outwards."""
    digits = 2 if up is None else 3
    size: int = 10 ** max(len(str(abs(value))) - digits, 0)
    if up is None:
        return round(value / size) * size
    return (math.ceil(value / size) if up else value // size) * size


def estimated(a_page: Iterable[float], *, share: float, seen: int, typical: float) -> Amount:
    """How many there are in all, from how many each sampled page has.

    Args:
        a_page: of the sampled pages that have any.
        share: the probability with which each page was sampled, above 0.
        seen: how many there are at least.
        typical: what a page has that has any, for when none was seen.
    """
    pages = [each for each in a_page if each]
    total = sum(pages)
    squares = sum(each * each for each in pages)
    value = total / share
    spread = SURE * math.sqrt(squares * (1 - share)) / share
    # A few pages are no bell curve: the upper bound of a Poisson distribution has this much more.
    skew = (SURE**2 / 2 * squares / total if total else UNSEEN * typical) * (1 - share) / share
    return Amount(
        round(value),
        max(round(value - spread), seen),
        max(round(value + spread + skew), round(value)),
    )
