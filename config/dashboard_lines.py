"""A line of the overview's first part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """Something that needs somebody."""

    colour: str
    summary: str
    remedy: str
    url: str = ""
    since: str = ""
