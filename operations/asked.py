"""What somebody who looks for a record may have typed: a text, and what else it can be read as.

Invariant: it never raises, whatever the text. What cannot be read as a number, a day or a UUID is
none, and then no column of that type is asked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.utils import timezone

LONGEST = 1_000
"""Characters of a text that is looked for."""
_SHORTEST = 3
"""Letters of a text that is looked for inside of values; a shorter one has to be the value."""
_MOST_WORDS = 8
_BITS = {"int2": 15, "int4": 31, "int8": 63}
TEXTS = frozenset({"text", "varchar", "bpchar", "name", "citext"})
WHOLE = frozenset(_BITS)
MOMENTS = frozenset({"date", "timestamp", "timestamptz"})

_INTEGER = re.compile(r"#?\s?(-?[0-9]{1,19})")
_DECIMAL = re.compile(r"-?[0-9]{1,30}([.,][0-9]{1,20})?")
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_PHONE = re.compile(r"\+?[0-9\s()./-]{6,30}")
_BOOLEANS = {"true": "true", "false": "false", "t": "true", "f": "false"}
_DAYS = ("%Y-%m-%d", "%d.%m.%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")
_MOMENTS = {
    "%Y-%m-%d %H:%M": timedelta(minutes=1),
    "%Y-%m-%dT%H:%M": timedelta(minutes=1),
    "%Y-%m-%d %H:%M:%S": timedelta(seconds=1),
    "%Y-%m-%dT%H:%M:%S": timedelta(seconds=1),
    "%d %b %Y, %H:%M": timedelta(minutes=1),
    "%d.%m.%Y %H:%M": timedelta(minutes=1),
}


@dataclass(frozen=True)
class Span:
    """From a moment up to another, which is no part of it."""

    begins: datetime
    ends: datetime

    @property
    def local(self) -> tuple[datetime, datetime]:
        """As a clock on the wall shows it, for columns without a time zone."""
        return timezone.make_naive(self.begins), timezone.make_naive(self.ends)


@dataclass(frozen=True)
class Asked:
    """A text that is looked for. Made by `asked`."""

    text: str
    """Without the blanks around it."""
    problem: str = ""
    """Why no value can be equal to it; mostly empty."""
    integer: int | None = None
    decimals: tuple[Decimal, ...] = ()
    uuid: str = ""
    day: date | None = None
    """When it is a day and no moment of one."""
    span: Span | None = None
    """The day or the minute that it is."""
    address: str = ""
    digits: str = ""
    """Of what may be a telephone number, without what is written differently."""

    @property
    def number(self) -> str:
        """Short digits alone: inside of a text they are a number of its own, not part of one."""
        return self.text if re.fullmatch(r"[0-9]{1,6}", self.text) else ""

    @property
    def inside(self) -> bool:
        """Long enough to be looked for inside of values."""
        letters = len(self.text)
        return letters >= _SHORTEST or (letters > 1 and not self.text.isascii())

    @property
    def words(self) -> tuple[str, ...]:
        found = tuple(self.text.split())
        return found if len(found) <= _MOST_WORDS else (self.text,)

    @property
    def cases(self) -> list[str]:
        """As it may be written where an index knows one spelling only."""
        return list(
            dict.fromkeys((self.text, self.text.lower(), self.text.upper(), self.text.title()))
        )

    @property
    def days(self) -> frozenset[str]:
        """The days that it touches, here and in UTC, as PostgreSQL prints them."""
        if self.span is None:
            return frozenset()
        last = self.span.ends - timedelta(microseconds=1)
        moments = [self.span.begins, last, timezone.make_naive(self.span.begins)]
        moments += [self.span.begins.astimezone(UTC), last.astimezone(UTC)]
        return frozenset(each.date().isoformat() for each in moments)


def asked(text: str) -> Asked:
    """What the text may mean."""
    text = text.strip()
    if problem := _problem(text):
        return Asked(text, problem)
    span, day = _span(text)
    return Asked(
        text,
        integer=int(found[1]) if (found := _INTEGER.fullmatch(text)) else None,
        decimals=_decimals(text),
        uuid=value_of(text, "uuid") or "",
        day=day,
        span=span,
        address=value_of(text, "inet") or "",
        digits="" if span else _digits(text),
    )


def value_of(text: str, base: str) -> str | None:
    """A text that PostgreSQL reads as a value of this type (`int4`, `uuid`); None: it is none."""
    if base in TEXTS:
        return text
    if base in _BITS:
        found = _INTEGER.fullmatch(text)
        fits = found and -(2 ** _BITS[base]) <= int(found[1]) < 2 ** _BITS[base]
        return str(int(found[1])) if found and fits else None
    read = _READ.get(base)
    return read(text) if read is not None else None


def _uuid(text: str) -> str | None:
    return text.replace("-", "").lower() if _UUID.fullmatch(text) else None


def _number(text: str) -> str | None:
    return str(_decimals(text)[0]) if _DECIMAL.fullmatch(text) else None


def _iso_day(text: str) -> str | None:
    _, day = _span(text)
    return day.isoformat() if day else None


def literal(text: str) -> str:
    """The text for LIKE: its wildcards mean themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _problem(text: str) -> str:
    if not text:
        return "There is nothing to look for."
    if len(text) > LONGEST:
        return f"A text of more than {LONGEST:,} characters is not looked for."
    if "\x00" in text:
        return "No value in PostgreSQL holds the character NUL."
    try:
        text.encode()
    except UnicodeEncodeError:
        return "It is no text: it holds half a character."
    return ""


def _decimals(text: str) -> tuple[Decimal, ...]:
    """A comma may part thousands or the fraction: both are meant."""
    if not _DECIMAL.fullmatch(text):
        return ()
    found = [Decimal(text.replace(",", "."))]
    if re.fullmatch(r"-?[0-9]{1,3},[0-9]{3}", text):
        found.append(Decimal(text.replace(",", "")))
    return tuple(found)


def _digits(text: str) -> str:
    if not _PHONE.fullmatch(text):
        return ""
    # 020 7946 0018 is +44 20 7946 0018 from afar.
    digits = "".join(letter for letter in text if letter in "0123456789").lstrip("0")
    return digits if len(digits) >= 6 else ""


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text)) if "%" not in text else None
    except ValueError:
        return None


_READ: dict[str, Callable[[str], str | None]] = {
    "numeric": _number,
    "uuid": _uuid,
    "bool": lambda text: _BOOLEANS.get(text.lower()),
    "inet": _address,
    "date": _iso_day,
}


def _span(text: str) -> tuple[Span | None, date | None]:
    """What of time it names, in the console's time zone; of a day the day too."""
    if not text.isascii() or not 8 <= len(text) <= 30:
        return None, None
    for form in _DAYS:
        if begins := _read(text, form):
            return _between(begins, timedelta(days=1)), begins.date()
    for form, length in _MOMENTS.items():
        if begins := _read(text, form):
            return _between(begins, length), None
    return None, None


def _read(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _between(begins: datetime, length: timedelta) -> Span | None:
    try:
        first = timezone.make_aware(begins.replace(tzinfo=None))
        last = timezone.make_aware(begins.replace(tzinfo=None) + length)
        # The first and the last days that Python knows have no neighbours.
        for each in (first, last):
            each.astimezone(UTC)
            timezone.make_naive(each)
    except (ValueError, OverflowError):
        return None
    return Span(first, last)
