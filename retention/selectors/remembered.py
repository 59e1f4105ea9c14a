"""What a person remembers of something that was deleted: words, a number, a day."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone

MOST_WORDS = 5
LONGEST = 200
"""Characters of a search that are read."""
_FORMS = ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%d %b %Y", "%d %B %Y", "%b %d %Y",
          "%B %d %Y")  # fmt: skip
_WITHOUT_YEAR = ("%d.%m. %Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y")
_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Remembered:
    words: tuple[str, ...]
    """All of them are to be found in one row."""
    day: date | None
    """When all of the text says a day."""

    @classmethod
    def read(cls, text: str, *, today: date | None = None) -> Remembered | None:
        """None for a text that says nothing."""
        text = " ".join(text.replace("\0", "")[:LONGEST].split())
        if not text:
            return None
        return cls(
            tuple(text.split(" ", MOST_WORDS - 1)), _day(text, today or timezone.localdate())
        )

    @property
    def patterns(self) -> tuple[str, ...]:
        """Of ILIKE: each word as it is written, wherever it stands."""
        return tuple(f"%{_escaped(word)}%" for word in self.words)

    @property
    def number(self) -> int | None:
        """The deletion's own number, where the text is one."""
        text = self.words[0].removeprefix("#")
        return int(text) if len(self.words) == 1 and text.isdecimal() and len(text) < 19 else None


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _day(text: str, today: date) -> date | None:
    """`2026-11-20`, `20.11.2026`, `20 Nov`, `friday`, `yesterday`: the last one that was."""
    said = text.lower().replace(",", "")
    near = {"today": today, "yesterday": today - timedelta(days=1)}
    if said in near:
        return near[said]
    weekday = said.removeprefix("last ")
    if weekday in _WEEK:
        # On a Friday, "friday" is today and "last friday" a week ago.
        back = (today.weekday() - _WEEK.index(weekday)) % 7
        return today - timedelta(days=back or (7 if said != weekday else 0))
    for form in _FORMS:
        with suppress(ValueError):
            return datetime.strptime(said, form).date()  # noqa: DTZ007 - a day has no zone
    for form in _WITHOUT_YEAR:
        for year in (today.year, today.year - 1):
            with suppress(ValueError):
                found = datetime.strptime(f"{said} {year}", form).date()  # noqa: DTZ007
                if found <= today:
                    return found
    return None
