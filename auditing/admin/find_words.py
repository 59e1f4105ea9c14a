"""What a search found, as its page shows it: grouped by where the records are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse
from django.utils.safestring import SafeString

from auditing.admin.words import actor_name
from operations.admin.show import badge, when
from operations.find_presenting import short
from operations.finding import Hit, Place, standings
from operations.readable import names_somebody
from operations.services.record_find import Found

_BADGES = {
    "live": ("Live", "success"),
    "bin": ("Bin", "info"),
    "archive": ("Archive", "warning"),
    "history": ("History", ""),
}
_BRINGS_BACK = ("Restore",)
_SHOWN_VALUES = 4


@dataclass(frozen=True)
class Button:
    text: str
    url: str
    posts: tuple[tuple[str, str], ...]
    icon: str
    variant: str


@dataclass(frozen=True)
class PlaceLine:
    badge: SafeString
    what: str
    when: SafeString | str
    who: str
    why: str


@dataclass(frozen=True)
class HitLine:
    title: str
    rest: list[tuple[str, str]]
    table: str
    record_id: str
    by: str
    held: list[str]
    places: list[PlaceLine]
    button: Button | None
    command: str


def groups_of(found: Found, user: User | AnonymousUser) -> list[dict[str, Any]]:
    """By where the records stand, that of the best hit first."""
    return [
        {
            "kind": share.standing.kind,
            "title": share.standing.title,
            "lines": [_line(hit, user) for hit in share.hits],
            "more": share.more,
        }
        for share in found.shares
        if share.hits
    ]


def segments_of(found: Found, user: User | AnonymousUser) -> list[dict[str, Any]]:
    """Everything, or one standing alone; how many are told, where that is known by now."""
    told = {share.standing.kind: share for share in found.shares}
    segments: list[dict[str, Any]] = [{"kind": "", "text": "Everywhere", "count": ""}]
    for each in standings(user):
        share = told.get(each.kind)
        count = f"{len(share.hits)}{'+' if share.more else ''}" if share else ""
        if count == "0" and not found.complete:
            # Nobody looked everywhere: none was found, which is not that there is none.
            count = ""
        segments.append({"kind": each.kind, "text": each.short, "count": count})
    return [each | {"chosen": each["kind"] == found.only} for each in segments]


def missed_words(found: Found) -> list[tuple[str, str]]:
    """For each reason what was not looked at: `there was no time`, `shop.a, shop.b`."""
    reasons: dict[str, list[str]] = {}
    for each in found.missed:
        reasons.setdefault(each.why, []).append(each.what)
    return [(why, ", ".join(what)) for why, what in reasons.items()]


def _line(hit: Hit, user: User | AnonymousUser) -> HitLine:
    values = [(name, short(text)) for name, text in hit.values[:_SHOWN_VALUES]]
    telling = bool(values) and names_somebody(values[0][0])
    button, place = _button(hit, user)
    return HitLine(
        title=values[0][1] if telling else f"{hit.table.name} {hit.record_id}",
        rest=values[1:] if telling else values,
        table=str(hit.table),
        record_id=hit.record_id if hit.keyed else "",
        by=", ".join(hit.by),
        held=hit.held,
        places=[_place(each) for each in hit.places],
        button=button,
        command=f"manage.py {place.command}" if place is not None and place.command else "",
    )


def _place(place: Place) -> PlaceLine:
    text, colour = _BADGES.get(place.kind, (place.kind.capitalize(), ""))
    return PlaceLine(
        badge(text, colour),
        place.what,
        when(place.at) if place.at is not None else "",
        actor_name(place.by) if place.by else "",
        place.why,
    )


def _button(hit: Hit, user: User | AnonymousUser) -> tuple[Button | None, Place | None]:
    """The one that brings it back, for who may; else the one that shows it."""
    for place in hit.places:
        name, arguments, query = place.address
        if not name or (place.needs and not user.has_perm(place.needs)):
            continue
        brings = place.button.startswith(_BRINGS_BACK)
        return (
            Button(
                place.button,
                f"{reverse(name, args=arguments)}{query}",
                place.posts,
                "settings_backup_restore" if brings else "history",
                "primary" if brings and hit.best.kind != "live" else "",
            ),
            place,
        )
    return None, None
