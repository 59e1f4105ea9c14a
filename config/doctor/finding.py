"""One thing that was looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    name: str
    ok: bool | None
    """False: wrong. None: worth knowing; with a remedy, worth changing."""
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


Check = Callable[[], list[Finding]]


def fine(name: str, detail: str) -> list[Finding]:
    return [Finding(name, True, detail)]


def wrong(name: str, detail: str, remedy: str) -> list[Finding]:
    return [Finding(name, False, detail, remedy)]


def note(name: str, detail: str, remedy: str = "") -> list[Finding]:
    return [Finding(name, None, detail, remedy)]
