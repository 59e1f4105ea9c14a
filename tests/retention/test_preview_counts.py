"""What a preview counts is what is there; what it estimates is within what it says."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from operations.catalogue.read import table as read_table
from operations.conditions.structure import from_json
from retention.selectors import preview_counts
from retention.selectors.due import DueRows
from retention.selectors.preview_budget import Budget
from retention.selectors.preview_cases import cases_of
from retention.selectors.preview_counts import count
from retention.selectors.preview_pass import Look
from retention.selectors.preview_tally import KINDS, Counts, Kind
from tests.effort import examples

from .previewing import CONDITION, held

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
CASES: dict[str, str | None] = {"hold 1": "t.flag", "hold 2": "t.id % 3 = 0"}


@dataclass(frozen=True)
class Row:
    """`age` in days, negative in the future; None is unknown."""

    age: int | None
    kind: str | None
    flag: bool | None
    referenced: bool

    def held_by(self, number: int) -> list[str]:
        cases = ["hold 1"] if self.flag is not False else []
        return [*cases, "hold 2"] if number % 3 == 0 else cases

    def becomes(self, number: int) -> Kind:
        if self.age is None:
            return "ageless"
        if self.age <= 30:
            return "future" if self.age < -1 else "young"
        if self.kind is None or self.kind == "k":
            return "kept" if self.kind else "undecided"
        if self.held_by(number):
            return "held"
        return "referenced" if self.referenced else "due"


rows = st.builds(
    Row,
    age=st.sampled_from([None, -400, -5, 0, 29, 31, 400, 90_000]),
    kind=st.sampled_from([None, "k", "x"]),
    flag=st.sampled_from([None, True, False, False]),
    referenced=st.booleans(),
)


def make_table(execute: Execute) -> None:
    execute(
        "CREATE TABLE app.events"
        " (id bigint PRIMARY KEY, created_at timestamptz, kind text, flag boolean)"
    )
    execute("CREATE TABLE app.notes (event bigint REFERENCES app.events)")


def look_at(*, references: bool = True) -> Look:
    table = read_table("app.events")
    now = timezone.now()
    due = DueRows(table, "created_at", now - timedelta(days=30), from_json(CONDITION))
    cases = cases_of(table, using="default")
    return Look(due, cases, now, table.referenced_by, references)


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(rows, max_size=40))
def test_every_row_is_counted_once_and_as_what_it_is(
    execute: Execute, given_rows: list[Row]
) -> None:
    execute("DROP TABLE IF EXISTS app.notes, app.events")
    make_table(execute)
    for number, row in enumerate(given_rows):
        execute(
            "INSERT INTO app.events VALUES (%s, now() - %s * interval '1 day', %s, %s)",
            [number, row.age, row.kind, row.flag],
        )
        if row.referenced:
            execute("INSERT INTO app.notes VALUES (%s), (%s)", [number, number])
    with held(CASES):
        counts = count(look_at(), Budget(5), using="default")
    expected = Counter(row.becomes(number) for number, row in enumerate(given_rows))
    assert counts.method == "counted"
    assert counts.total.value == len(given_rows)
    past = ("kept", "undecided", "held", "referenced", "due")
    expected["past"] = sum(expected[kind] for kind in past)
    assert {kind: counts[kind].value for kind in KINDS} == {kind: expected[kind] for kind in KINDS}
    by = Counter(
        case
        for number, row in enumerate(given_rows)
        if row.becomes(number) == "held"
        for case in row.held_by(number)
    )
    assert dict(counts.held_by) == {case: counts.held_by[n][1] for n, case in enumerate(CASES)}
    assert {case: amount.value for case, amount in counts.held_by} == {c: by[c] for c in CASES}
    ages = [row.age for number, row in enumerate(given_rows) if row.becomes(number) == "due"]
    assert bool(counts.ages.oldest) is bool(ages)


SKEWED = """
INSERT INTO app.events
SELECT n, CASE WHEN n % 1000 = 1 THEN NULL
               WHEN n < 90000 THEN now() - interval '400 days' + n * interval '1 second'
               WHEN n % 50000 = 2 THEN now() + interval '10 days'
               ELSE now() - interval '1 hour' END,
       CASE n % 10 WHEN 0 THEN 'k' WHEN 1 THEN NULL ELSE repeat('x', n::int % 60) END,
       n BETWEEN 20000 AND 30000
FROM generate_series(1, 300000) n
"""
"""In the order of time: a page is all due, or not at all."""


@pytest.fixture
def skewed(execute: Execute, monkeypatch: pytest.MonkeyPatch) -> Counts:
    """The table counted whole; from here on it counts as a large one."""
    make_table(execute)
    execute(SKEWED)
    execute("INSERT INTO app.notes SELECT n FROM generate_series(40000, 50000) n")
    execute("CREATE INDEX ON app.notes (event)")
    execute("ANALYZE app.events, app.notes")
    with held(CASES):
        counts = count(look_at(), Budget(30), using="default")
    assert counts.method == "counted"
    monkeypatch.setattr(preview_counts, "SMALL", 0)
    monkeypatch.setattr(preview_counts, "SAMPLE", 300)
    return counts


def test_a_sample_of_a_skewed_table_is_within_what_it_says(
    skewed: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_counts, "_hopeless", lambda *_: True)
    assert skewed["due"].value > 30_000
    wrong = 0
    with held(CASES):
        look = look_at()
        for seed in range(20):
            found = count(look, Budget(30), using="default", seed=seed)
            assert found.method == "sampled"
            pairs = [(found[kind], skewed[kind]) for kind in KINDS]
            pairs += [
                (mine, true)
                for (_, mine), (_, true) in zip(found.held_by, skewed.held_by, strict=True)
            ]
            pairs.append((found.total, skewed.total))
            for amount, true in pairs:
                assert amount.estimated
                wrong += not amount.low <= true.value <= amount.high
            assert found["due"].high < 3 * found["due"].low
            assert found.row_bytes == pytest.approx(skewed.row_bytes, rel=0.1)
    assert wrong <= 6  # Of 240, 99 of 100 of which are right.


def test_a_large_table_is_counted_when_there_is_time(skewed: Counts) -> None:
    with held(CASES):
        found = count(look_at(), Budget(30), using="default")
    assert found.method == "counted"
    assert {kind: found[kind] for kind in KINDS} == dict(skewed.amounts)
    assert found.held_by == skewed.held_by
    assert found.ages == skewed.ages


def test_few_due_rows_are_counted_through_the_index(skewed: Counts, execute: Execute) -> None:
    execute("CREATE INDEX ON app.events (created_at)")
    execute("DELETE FROM app.notes; DELETE FROM app.events WHERE id < 85000")
    execute("VACUUM ANALYZE app.events")
    found = count(look_at(), Budget(30), using="default")
    assert found.method == "counted"
    assert not found["due"].estimated
    assert found.total.estimated
    assert execute("SELECT count(*) FROM app.events WHERE created_at > now()") == [
        (found["future"].value,)
    ]
    with held(CASES):
        assert found["past"].value == count(look_at(), Budget(30), using="default")["past"].value


def too_slow(pattern: str) -> Callable[..., Any]:
    """A statement like this runs into its own time limit."""

    def wrapper(execute: Any, query: Any, params: Any, many: bool, context: Any) -> Any:
        text = query.as_string(None) if isinstance(query, sql.Composable) else query
        if re.search(pattern, text) and "EXPLAIN" not in text:
            return execute("SELECT pg_catalog.pg_sleep(60)", None, many, context)
        return execute(query, params, many, context)

    return wrapper


def test_what_cannot_be_counted_in_time_is_estimated(skewed: Counts) -> None:
    began = time.monotonic()
    with held(CASES):
        look = look_at()
    with connection.execute_wrapper(too_slow(r"count\(\*\).* t $")):
        found = count(look, Budget(2.5), using="default")
    assert time.monotonic() - began < 4
    assert found.method == "sampled"
    assert found["due"].low <= skewed["due"].value <= found["due"].high


def test_when_there_is_no_time_at_all_the_planner_is_asked(skewed: Counts) -> None:
    began = time.monotonic()
    with held(CASES):
        look = look_at()
    with connection.execute_wrapper(too_slow(r"count\(\*\)")):
        found = count(look, Budget(3), using="default")
    assert time.monotonic() - began < 4
    assert found.method == "planned"
    assert found["due"].low == 0
    assert found["due"].value > 0
    # The limits were those of the statements, not of the session.
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_rows_that_others_may_refer_to_are_told_apart_or_said_to_be_due_at_most(
    skewed: Counts,
) -> None:
    with held(CASES):
        look = look_at()
    with connection.execute_wrapper(too_slow("NOT EXISTS")):
        found = count(look, Budget(4), using="default", quick_references=False)
    assert "referenced" not in found.amounts
    assert found["due"].value == skewed["due"].value + skewed["referenced"].value
    with held(CASES):
        found = count(look_at(), Budget(30), using="default", quick_references=False)
    assert found["referenced"] == skewed["referenced"]
