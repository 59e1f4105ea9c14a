"""What a search found, as JSON and as lines."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from operations.find_shares import Share
from operations.finding import Hit, Place
from operations.services.record_find import Found

WIDEST = 60
"""Characters of a value in a line."""
_MISSED = 12


def found_json(found: Found) -> dict[str, Any]:
    """For `--json`. The text that was looked for is not repeated: it is personal data."""
    return {
        "hits": [hit_json(hit) for hit in found.hits],
        "only": found.only or None,
        "standings": [share_json(share) for share in found.shares],
        "more_in": [str(name) for name in found.more],
        "complete": found.complete,
        "not_looked_at": [{"what": each.what, "why": each.why} for each in found.missed],
        "seconds": round(found.seconds, 3),
        "problem": found.problem,
    }


def share_json(share: Share) -> dict[str, Any]:
    return {
        "standing": share.standing.kind,
        "hits": len(share.hits),
        "more": share.more,
        "narrow": f"--only {share.standing.kind}",
    }


def hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "table": str(hit.table),
        "record": hit.record_id if hit.keyed else None,
        "standing": hit.best.kind,
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


def found_lines(found: Found) -> list[str]:
    """The hits, those of each standing under its heading when there are several."""
    parts = [share for share in found.shares if share.hits]
    lines: list[str] = []
    for share in parts:
        if len(parts) > 1:
            more = ", and there are more" if share.more else ""
            lines += [f"{share.standing.title} ({len(share.hits)}{more}):", ""]
        lines += [line for hit in share.hits for line in (*hit_lines(hit), "")]
    return lines


def summary_line(found: Found) -> str:
    """`30 records, in 1.4 s: 15 live and more, 15 in the bin and more.`"""
    count, took = len(found.hits), f"{found.seconds:.1f} s"
    where = f" {each.standing.told}" if (each := _only(found)) else ""
    if not count:
        if found.complete:
            return f"No such record{where}: everything was looked at, in {took}."
        return f"No such record{where} was found, in {took}. Not everything was looked at."
    told = [
        f"{len(each.hits)} {each.standing.told}{' and more' if each.more else ''}"
        for each in found.shares
        if each.hits or each.more
    ]
    return f"{count} record{'' if count == 1 else 's'}, in {took}: {', '.join(told)}."


def more_line(found: Found) -> str:
    """In which tables there are more, and how they are told; empty: all are told."""
    if not found.more:
        return ""
    more = [share.standing.kind for share in found.shares if share.more]
    only = f"--only {'|'.join(more)}, " if more and not found.only else ""
    names = ", ".join(map(str, found.more))
    return f"There are more in {names}: say more of it, or {only}--table TABLE, --limit N."


def _only(found: Found) -> Share | None:
    return found.shares[0] if found.only and found.shares else None


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
