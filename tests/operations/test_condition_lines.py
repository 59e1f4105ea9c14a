"""A condition built in a form says what its lines say, and comes back as the same lines."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings

from operations.catalogue.types import Table
from operations.conditions.describe import describe
from operations.conditions.lines import OPERATORS, Group, Line, Lines, Operand
from operations.conditions.lines_read import LinesRefused, lines_read
from operations.conditions.lines_show import lines_show
from operations.conditions.nodes import OPERATORS as ALL_OPERATORS
from operations.conditions.nodes import Comparison, Condition, Not
from operations.conditions.parse import parse_condition
from tests.effort import examples
from tests.operations.conditions import conditions, create_table

pytestmark = pytest.mark.django_db


@pytest.fixture
def many() -> Table:
    return create_table()


def one(column: str, operator: str = "=", text: str = "", unit: str = "", **more: object) -> Lines:
    return Lines((Group((Line(column, operator, first=Operand(text, unit), **more),)),))  # type: ignore[arg-type]


def test_every_operator_is_offered() -> None:
    assert OPERATORS.keys() == ALL_OPERATORS


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (one("status", "=", "open"), "status = 'open'"),
        (one("n", ">=", " 5 "), "n >= 5"),
        (one("price", "<", "1.50"), "price < 1.50"),
        (one("name", "=", "it's; DROP TABLE x"), "name = 'it''s; DROP TABLE x'"),
        (one("name", "in", "a\n b \n\nc"), "name IN ('a', 'b', 'c')"),
        (one("n", "not in", "1\r\n2"), "n NOT IN (1, 2)"),
        (one("n", "between", "1", second=Operand("7")), "n BETWEEN 1 AND 7"),
        (one("seen_at", "is null"), "seen_at IS NULL"),
        (one("flagged", "=", "true", negated=True), "NOT flagged"),
        (one("seen_at", ">", "30", "-day"), "seen_at > now() - interval '30 days'"),
        (one("seen_at", "<", "1", "+month"), "seen_at < now() + interval '1 month'"),
        (one("seen_at", "<=", "", "now"), "seen_at <= now()"),
        (one("Order By", "like", "a%"), "\"Order By\" LIKE 'a%'"),
    ],
)
def test_a_line_says_its_sql_and_is_shown_again(many: Table, lines: Lines, said: str) -> None:
    condition = lines_read(lines, many)
    assert condition is not None
    assert describe(condition) == said
    shown = lines_show(condition, many)
    assert shown is not None
    assert lines_read(shown, many) == condition


@pytest.mark.parametrize(
    "text",
    [
        "flagged AND n = 1",
        "flagged OR n = 1 OR status = 'open'",
        "(flagged AND n = 1) OR (status = 'open' AND NOT between)".replace("between", '"between"'),
        "n = 1 AND n <> 2 AND (flagged OR status = 'open')",
        "(flagged OR status = 'open') AND n = 1 AND n <> 2",
        "NOT (flagged OR status = 'open') AND n = 1",
        "NOT (flagged AND n = 1)",
    ],
)
def test_groups_one_level_deep_come_back_as_they_were_written(many: Table, text: str) -> None:
    condition = parse_condition(text, many)
    lines = lines_show(condition, many)
    assert lines is not None
    assert lines_read(lines, many) == condition


@pytest.mark.parametrize(
    "text",
    [
        "n = 1 AND (flagged OR (status = 'open' AND n <> 2))",
        "NOT NOT flagged",
        "name = ' blank '",
        "name = ''",
        "seen_at > now() - interval '1 year 6 months'",
        "n = '1'",
    ],
)
def test_what_lines_cannot_say_exactly_is_not_shown_as_lines(many: Table, text: str) -> None:
    assert lines_show(parse_condition(text, many), many) is None


def test_blank_lines_say_nothing(many: Table) -> None:
    blank = Group((Line(), Line()))
    assert lines_read(Lines((blank, blank), "or"), many) is None
    line = Line("n", "=", first=Operand("1"))
    lines = Lines((blank, Group((Line(), line), negated=True)), "or")
    assert lines_read(lines, many) == Not(Comparison("n", "=", 1))


def test_every_mistake_is_told_at_its_line(many: Table) -> None:
    good = Line("n", "=", first=Operand("1"))
    wrong = [
        replace(good, column="m"),
        replace(good, column=""),
        replace(good, first=Operand("")),
        replace(good, first=Operand("many")),
        replace(good, operator="equals"),
        replace(good, operator="in", first=Operand(" \n ")),
        replace(good, column="seen_at", first=Operand("soon", "-day")),
        replace(good, column="seen_at", first=Operand("3", "-fortnight")),
        replace(good, operator="between"),
        replace(good, first=Operand("9" * 5_000)),
    ]
    with pytest.raises(LinesRefused) as refused:
        lines_read(Lines((Group((good,)), Group((good, *wrong)))), many)
    problems = refused.value.problems
    assert list(problems) == [(1, number) for number in range(1, len(wrong) + 1)]
    for (_, number), words in zip(
        problems,
        [
            "has no column m",
            "choose a column",
            "give a value",
            "PostgreSQL says: invalid input syntax",
            "the operators are",
            "one on each line",
            "give a whole number of days",
            "choose what the value is",
            "give a value",
            "PostgreSQL says: value",
        ],
        strict=True,
    ):
        assert words in problems[1, number]
    assert "Group 2, line 2: The table" in str(refused.value)


def test_whatever_is_shown_as_lines_reads_back_as_the_same_condition(many: Table) -> None:
    shown = 0

    @settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
    @given(conditions())
    def check(condition: Condition) -> None:
        nonlocal shown
        lines = lines_show(condition, many)
        if lines is not None:
            shown += 1
            assert lines_read(lines, many) == condition

    check()
    assert shown > examples(15)


def test_numbers_keep_every_digit(many: Table) -> None:
    assert lines_read(one("price", "=", "1.10"), many) == Comparison("price", "=", Decimal("1.10"))
    assert lines_read(one("big", "=", "-" + "9" * 18), many) == Comparison(
        "big", "=", -(10**18 - 1)
    )
