"""What a person remembers, read: a day as they say it, words, a number."""

from __future__ import annotations

from datetime import date

import pytest

from retention.selectors.remembered import Remembered

MONDAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-20", date(2026, 11, 20)),
        ("20.11.2026", date(2026, 11, 20)),
        ("20/11/2026", date(2026, 11, 20)),
        ("20 Nov", date(2026, 11, 20)),
        ("November 20, 2026", date(2026, 11, 20)),
        ("24 Nov", date(2025, 11, 24)),
        ("today", MONDAY),
        ("Yesterday", date(2026, 11, 22)),
        ("friday", date(2026, 11, 20)),
        ("monday", MONDAY),
        ("last monday", date(2026, 11, 16)),
        ("29 Feb", None),
        ("31.11.2026", None),
        ("ada", None),
        ("20", None),
    ],
)
def test_a_day_is_the_last_one_that_was(text: str, day: date | None) -> None:
    found = Remembered.read(text, today=MONDAY)
    assert found is not None
    assert found.day == day


def test_words_are_taken_as_they_are_written() -> None:
    found = Remembered.read("  50%_off \\ Ada\0 ")
    assert found is not None
    assert found.words == ("50%_off", "\\", "Ada")
    assert found.patterns == ("%50\\%\\_off%", "%\\\\%", "%Ada%")
    assert Remembered.read(" \0 ") is None


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("#12", 12), ("12 13", None), ("1" * 19, None), ("²", None)]
)
def test_a_deletion_has_a_number(text: str, number: int | None) -> None:
    found = Remembered.read(text)
    assert found is not None
    assert found.number == number
