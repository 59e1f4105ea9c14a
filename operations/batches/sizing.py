"""How large the next batch is: as large as fits the target time."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

TARGET_SECONDS = 1.0
_KEPT = 20
_WEIGHT = 0.6
"""Each older batch counts 0.6 of the one after it."""
_GOOD = (0.90, 0.95)
"""Batches that take this share of the target are left as they are."""


@dataclass
class BatchSize:
    """A size in pages or rows that follows the time the last batches took."""

    value: int
    least: int
    most: int
    target: float = TARGET_SECONDS
    _shares: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def took(self, seconds: float) -> None:
        """A batch of this size was done in `seconds`."""
        self._shares.append(max(seconds / self.target, 1e-3))
        if len(self._shares) <= 3:
            # Nothing is known yet: go to the target in strides, but never far past it.
            self._scale(min(0.9 / self._shares[-1], 4.0))
            return
        share = self._mean()
        if not _GOOD[0] <= share <= _GOOD[1]:
            self._scale(min(_GOOD[1] / share, 1.2))

    def shrink(self) -> None:
        """A batch of this size did not fit into its time at all."""
        self._shares.clear()
        self._scale(0.4)

    @property
    def smallest(self) -> bool:
        return self.value <= self.least

    def _mean(self) -> float:
        newest_first = list(reversed(self._shares))
        weights = [_WEIGHT**age for age in range(len(newest_first))]
        return sum(w * s for w, s in zip(weights, newest_first, strict=True)) / sum(weights)

    def _scale(self, factor: float) -> None:
        # Rounded up: a size of 4 must be able to grow by a fifth.
        value = math.ceil(self.value * factor) if factor > 1 else int(self.value * factor)
        self.value = max(self.least, min(self.most, value))
