"""An estimate says what it lies between, and it does."""

from __future__ import annotations

import random

import pytest

from retention.selectors.preview_amounts import Amount, counted, estimated


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (counted(812), "812"),
        (counted(10_000_000), "10,000,000"),
        (Amount(3_104_221, 2_903_000, 3_299_000), "about 3,100,000, between 2.9 and 3.3 million"),
        (Amount(6_350, 5_912, 6_788), "about 6,400, between 5,910 and 6,790"),
        (Amount(2_000_000_000, 0, 3_000_000_000), "about 2,000,000,000, between 0 and 3 billion"),
        (Amount(0, 0, 11_250), "none seen, 11,300 at most"),
    ],
)
def test_an_amount_reads_as_sure_as_it_is(amount: Amount, text: str) -> None:
    assert str(amount) == text
    assert amount.to_json()["estimated"] is (amount.low != amount.high)


@pytest.mark.parametrize("due", ["none", "few", "clustered", "scattered", "all"])
def test_ninety_nine_of_a_hundred_samples_hold_what_they_say(due: str) -> None:
    chance = random.Random(due)
    pages = 20_000
    table = [chance.choice((0, 17, 40, 60)) for _ in range(pages)]
    taken = {
        "none": [0] * pages,
        "few": [1 if n % 4_000 == 7 else 0 for n in range(pages)],
        "clustered": [rows if n < pages // 3 else 0 for n, rows in enumerate(table)],
        "scattered": [min(rows, chance.randrange(4)) for rows in table],
        "all": table,
    }[due]
    share = 0.05
    right = 0
    for _ in range(200):
        seen = [rows for rows in taken if chance.random() < share]
        amount = estimated(seen, share=share, seen=sum(seen), typical=39)
        assert sum(seen) <= amount.low <= amount.value <= amount.high or not amount.value
        right += amount.low <= sum(taken) <= amount.high
    assert right >= 194


def test_a_sample_of_everything_is_a_count() -> None:
    assert estimated([3, 0, 5], share=1.0, seen=8, typical=4) == counted(8)
