"""What the commands about holds share."""

from __future__ import annotations

from datetime import date
from typing import Any

from operations.exceptions import UsageError


def day(text: str) -> date:
    """Raises UsageError."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day: write it as 2031-06-30.") from None


def reason_given(options: dict[str, Any]) -> str:
    """Raises UsageError, before anybody is asked for anything else."""
    reason: str = options["reason"].strip()
    if not reason:
        raise UsageError("Say why: --reason TEXT. It is kept with the hold.")
    return reason
