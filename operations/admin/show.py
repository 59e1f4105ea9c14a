"""How the admin shows times, amounts, states and links: the same on every page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince

from operations.runs.states import RunState

NOTHING = "–"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")

STATE_COLOURS: dict[str, str] = {
    RunState.DRAFT: "",
    RunState.PREVIEWED: "",
    RunState.AWAITING_APPROVAL: "warning",
    RunState.QUEUED: "",
    RunState.RUNNING: "info",
    RunState.PAUSING: "warning",
    RunState.PAUSED: "warning",
    RunState.VERIFYING: "info",
    RunState.SUCCEEDED: "success",
    RunState.FAILED: "danger",
    RunState.CANCELLED: "",
}
"""The kind of unfold's label for each state; empty is the neutral one."""


@dataclass(frozen=True)
class Fact:
    """A line of a definition list."""

    label: str
    value: str | SafeString
    hint: str = ""


def when(moment: datetime | None, *, empty: str = NOTHING) -> SafeString | str:
    """`5 minutes ago` over `23 Nov 2026, 06:09 UTC`, for people and for machines."""
    if moment is None:
        return empty
    return format_html(
        '<time class="c-when" datetime="{}"><span>{}</span><small>{}</small></time>',
        moment.isoformat(),
        ago(moment),
        clock(moment),
    )


def when_text(text: str | None) -> SafeString | str:
    """Like `when`, for a moment that JSON holds as text; what is no moment stays as it is."""
    try:
        moment = parse_datetime(text) if text and _MOMENT.match(text) else None
    except ValueError:
        # It looks like one, and its month is the thirteenth.
        moment = None
    if moment is None:
        return text or NOTHING
    return when(moment if timezone.is_aware(moment) else timezone.make_aware(moment))


def clock(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%-d %b %Y, %H:%M %Z")


def ago(moment: datetime) -> str:
    """`just now`, `5 minutes ago`, `in 3 days`."""
    now = timezone.now()
    distance = abs(now - moment)
    if distance < timedelta(minutes=1):
        return "just now" if moment <= now else "in a moment"
    if moment <= now:
        return f"{_plain(timesince(moment, now, depth=1))} ago"
    return f"in {_plain(timesince(now, moment, depth=1))}"


def _plain(text: str) -> str:
    return text.replace("\xa0", " ")


def duration(span: timedelta | float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 days 3 h`."""
    if span is None:
        return NOTHING
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    parts = [
        (whole // 86_400, "day" if whole // 86_400 == 1 else "days"),
        (whole // 3_600 % 24, "h"),
        (whole // 60 % 60, "min"),
        (whole % 60, "s"),
    ]
    first = next(number for number, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount)


def number(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """Bytes as `812 bytes`, `3.4 MiB`."""
    if value is None:
        return NOTHING
    if value < 1024:
        return f"{value:,} byte{'' if value == 1 else 's'}"
    amount, units = float(value), iter(("KiB", "MiB", "GiB", "TiB"))
    unit = ""
    while amount >= 1024 and (larger := next(units, "")):
        amount, unit = amount / 1024, larger
    return f"{amount:,.1f} {unit}"


def code(text: str) -> SafeString | str:
    return format_html("<code>{}</code>", text) if text else NOTHING


def digest(text: str) -> SafeString | str:
    """The beginning of a hash; all of it on hover and on the clipboard."""
    if not text:
        return NOTHING
    return format_html(
        '<span class="c-digest"><code title="{}">{}…</code>'
        '<button type="button" class="c-copy" data-copy="{}" aria-label="Copy it whole" hidden>'
        '<span class="material-symbols-outlined" aria-hidden="true">content_copy</span></button>'
        "</span>",
        text,
        text[:12],
        text,
    )


def link(text: object, view: str, *arguments: object) -> SafeString:
    """A link to the admin page `view`, such as `operations_run_change`."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{view}", args=arguments), text)


def badge(text: str, colour: str = "") -> SafeString:
    return format_html('<span class="c-badge c-badge-{}">{}</span>', colour or "plain", text)


def lines(first: object, second: object) -> SafeString:
    """Two lines in one cell, the second one quiet."""
    if not second:
        return format_html("{}", first)
    return format_html(
        '<span class="c-lines"><span>{}</span><small>{}</small></span>', first, second
    )


def joined(parts: list[SafeString]) -> SafeString:
    return mark_safe(" ".join(parts))  # noqa: S308 - each part is safe already
