"""What a search found, as JSON and as lines."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from operations.finding import Hit, Place
from operations.services.record_find import Found

WIDEST = 60
"""Characters of a value in a line."""
_MISSED = 12


def found_json(found: Found) -> dict[str, Any]:
    """For `--json`. The text that was looked for is not repeated: it is personal data."""
    return {
        "hits": [hit_json(hit) for hit in found.hits],
        "more_in": [str(name) for name in found.more],
        "complete": found.complete,
        "not_looked_at": [{"what": each.what, "why": each.why} for each in found.missed],
        "seconds": round(found.seconds, 3),
        "problem": found.problem,
    }


def hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "table": str(hit.table),
        "record": hit.record_id if hit.keyed else None,
        "values": dict(hit.values),
        "found_by": list(hit.by),
        "held_by": hit.held,
        "places": [place_json(place) for place in hit.places],
        "command": f"manage.py {command}" if (command := command_of(hit)) else None,
    }


def place_json(place: Place) -> dict[str, Any]:
    return {
        "place": place.kind,
        "what": place.what,
        "at": place.at.isoformat() if place.at else None,
        "by": place.by or None,
        "reason": place.why or None,
        "command": f"manage.py {place.command}" if place.command else None,
        **place.facts,
    }


def command_of(hit: Hit) -> str:
    """The one command that brings the record back; of a live one, that shows its versions."""
    return next((place.command for place in hit.places if place.command), "")


def hit_lines(hit: Hit) -> list[str]:
    """`shop.users 4711  Ada Lovelace, ada@example.org`, then a line for each place."""
    named = f"{hit.table} {hit.record_id}".rstrip() if hit.keyed else str(hit.table)
    shown = ", ".join(short(text) for _, text in hit.values[:3])
    by = f"  (by {', '.join(hit.by)})" if hit.by else ""
    lines = [f"{named}{f'  {shown}' if shown else ''}{by}"]
    lines += [f"    {place_line(place)}" for place in hit.places]
    if hit.held:
        lines.append(f"    held by {', '.join(hit.held)}: it is not destroyed")
    if command := command_of(hit):
        lines.append(f"    manage.py {command}")
    return lines


def place_line(place: Place) -> str:
    said = place.what
    if place.at is not None:
        said += f", {timezone.localtime(place.at):%Y-%m-%d %H:%M}"
    if place.by:
        said += f" by {place.by}"
    return f"{said}: {short(place.why)}" if place.why else said


def missed_lines(found: Found, *, most: int = _MISSED) -> list[str]:
    """One line for each reason: `Not looked at (there was no time): shop.a, shop.b`."""
    reasons: dict[str, list[str]] = {}
    for each in found.missed:
        reasons.setdefault(each.why, []).append(each.what)
    return [
        f"Not looked at, because {why}: {', '.join(what[:most])}"
        + (f" and {len(what) - most} more" if len(what) > most else "")
        for why, what in reasons.items()
    ]


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"
