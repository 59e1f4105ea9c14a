"""Times, amounts and sizes as the admin words them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from operations.admin.show import ago, badge, digest, duration, lines, number, size, when_text


@pytest.mark.parametrize(
    ("distance", "told"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(minutes=5, seconds=10), "5 minutes ago"),
        (timedelta(hours=1, minutes=59), "1 hour ago"),
        (timedelta(days=20), "2 weeks ago"),
        (timedelta(days=-3, hours=-1), "in 3 days"),
        (timedelta(seconds=-5), "in a moment"),
    ],
)
def test_a_moment_is_told_from_now(distance: timedelta, told: str) -> None:
    assert ago(timezone.now() - distance) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "–"),
        (0.44, "0.4 s"),
        (12, "12 s"),
        (185, "3 min 5 s"),
        (180, "3 min"),
        (7_800, "2 h 10 min"),
        (356_400, "4 days 3 h"),
        (86_400, "1 day"),
    ],
)
def test_a_time_span_is_told_in_its_two_largest_units(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (None, "–"),
        (0, "0 bytes"),
        (1, "1 byte"),
        (1_023, "1,023 bytes"),
        (1_024, "1.0 KiB"),
        (5_000_000, "4.8 MiB"),
        (3 * 1024**4, "3.0 TiB"),
        (5_000 * 1024**4, "5,000.0 TiB"),
    ],
)
def test_bytes_are_told_in_powers_of_1024(count: int | None, told: str) -> None:
    assert size(count) == told


def test_amounts_have_separators() -> None:
    assert number(1_234_567) == "1,234,567"


@pytest.mark.parametrize("text", ["events", "20241123", "2024-11-23", "", None, "2024-13-45T99:99"])
def test_what_is_no_moment_stays_as_it_is(text: str | None) -> None:
    assert when_text(text) == (text or "–")


def test_a_moment_in_a_document_is_told_and_marked_up() -> None:
    shown = when_text("2024-01-02T03:04:05+00:00")
    assert 'datetime="2024-01-02T03:04:05+00:00"' in shown
    assert "2 Jan 2024, 03:04 UTC" in shown


def test_nothing_that_somebody_wrote_becomes_markup() -> None:
    for shown in (badge("<b>"), lines("<b>", "<i>"), digest("<b>" * 10)):
        assert "<b>" not in shown
        assert "&lt;b&gt;" in shown
