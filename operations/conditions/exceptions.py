"""Why a condition is not taken."""

from __future__ import annotations

from operations.exceptions import UsageError

_SHOWN = 80


class ConditionRefused(UsageError):
    """A piece of a condition is outside what a condition may say; `reason` tells what to write."""

    def __init__(self, piece: str, reason: str) -> None:
        self.reason = reason
        shown = " ".join(piece.split())
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}..."
        super().__init__(f"Condition refused at `{shown}`: {reason}")
