"""The structure guards its own shape, whoever builds it; as JSON it loses nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.conditions.exceptions import ConditionRefused
from operations.conditions.structure import (
    And,
    Comparison,
    Condition,
    Not,
    Now,
    Or,
    from_json,
    to_json,
)

A, B, C = (Comparison(name, "is null") for name in "abc")

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
offsets = st.builds(
    "{}{} {}".format,
    st.sampled_from("+-"),
    st.integers(0, 999_999_999),
    st.sampled_from(["second", "days", "year 3 months", "weeks 1 hour 5 minutes"]),
).map(Now)
scalars = st.one_of(
    texts,
    st.integers(),
    st.booleans(),
    st.just(Now()),
    offsets,
    st.decimals(allow_nan=False, allow_infinity=False, places=5),
    st.sampled_from([Decimal("1E+30"), Decimal("-1.5E-20"), Decimal("0.10")]),
)
listed = scalars.filter(lambda value: not isinstance(value, Now))
columns = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
comparisons = st.one_of(
    st.builds(Comparison, columns, st.sampled_from(["is null", "is not true"])),
    st.builds(Comparison, columns, st.sampled_from(["=", "<>", "is distinct from"]), scalars),
    st.builds(Comparison, columns, st.just("between"), st.tuples(scalars, scalars)),
    st.builds(Comparison, columns, st.just("not in"), st.lists(listed, min_size=1).map(tuple)),
)
conditions = st.recursive(
    comparisons,
    lambda parts: st.one_of(
        st.lists(parts, min_size=2, max_size=3).map(lambda found: And(tuple(found))),
        st.lists(parts, min_size=2, max_size=3).map(lambda found: Or(tuple(found))),
        parts.map(Not),
    ),
    max_leaves=8,
)


@given(conditions)
def test_json_loses_nothing(condition: Condition) -> None:
    document = json.loads(json.dumps(to_json(condition)))
    assert repr(from_json(document)) == repr(condition)


def test_json_is_what_a_person_would_write() -> None:
    condition = And(
        (
            Comparison("status", "in", ("open", "new")),
            Or((Comparison("price", ">", Decimal("1.50")), Comparison("flagged", "=", True))),
            Not(Comparison("seen_at", "<", Now("-30 days"))),
            Comparison("read_at", "is null"),
        )
    )
    assert to_json(condition) == {
        "and": [
            {"column": "status", "operator": "in", "value": ["open", "new"]},
            {
                "or": [
                    {"column": "price", "operator": ">", "value": {"number": "1.50"}},
                    {"column": "flagged", "operator": "=", "value": True},
                ]
            },
            {"not": {"column": "seen_at", "operator": "<", "value": {"now": "-30 days"}}},
            {"column": "read_at", "operator": "is null"},
        ]
    }


def test_a_number_with_a_point_is_taken_as_it_is_written() -> None:
    document = json.loads('{"column": "price", "operator": "=", "value": 0.1}')
    assert from_json(document) == Comparison("price", "=", Decimal("0.1"))


def test_groups_in_groups_of_their_kind_are_taken_apart() -> None:
    assert And((And((A, B)), C)) == And((A, B, C))
    assert Or((A, Or((B, C)))) == Or((A, B, C))
    assert And((Or((A, B)), C)).parts == (Or((A, B)), C)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (None, "a condition is an object"),
        ([], "a condition is an object"),
        ("read_at IS NULL", "a condition is an object"),
        ({}, "its keys are"),
        ({"column": "a"}, "its keys are"),
        ({"column": "a", "operator": "is null", "sql": "1"}, "its keys are"),
        ({"and": [], "or": []}, "its keys are"),
        ({"xor": []}, "its keys are"),
        ({"and": {}}, "a list of conditions"),
        ({"and": []}, "at least two"),
        ({"or": [{"column": "a", "operator": "is null"}]}, "at least two"),
        ({"not": []}, "a condition is an object"),
        ({"column": 1, "operator": "is null"}, "are texts"),
        ({"column": "a", "operator": ["="], "value": 1}, "are texts"),
        ({"column": "a", "operator": "~", "value": "x"}, "the operators are"),
        ({"column": "a", "operator": "= 1 OR 1 =", "value": "x"}, "the operators are"),
        ({"column": "a", "operator": "IS NULL"}, "the operators are"),
        ({"column": "a", "operator": "is null", "value": 1}, "takes no value"),
        ({"column": "a", "operator": "="}, "NULL is no value"),
        ({"column": "a", "operator": "=", "value": None}, "use the operator is null"),
        ({"column": "a", "operator": "=", "value": [1]}, "not a list"),
        ({"column": "a", "operator": "=", "value": {"sql": "now()"}}, "a value is"),
        ({"column": "a", "operator": "=", "value": {"now": "-1 day", "x": 1}}, "a value is"),
        ({"column": "a", "operator": "=", "value": {"now": "1 day"}}, "an interval is written"),
        ({"column": "a", "operator": "=", "value": {"now": "-1 day'"}}, "an interval is written"),
        ({"column": "a", "operator": "=", "value": {"number": "NaN"}}, "a value is"),
        ({"column": "a", "operator": "=", "value": {"number": "1;"}}, "a value is"),
        ({"column": "a", "operator": "=", "value": {"number": 1}}, "a value is"),
        ({"column": "a", "operator": "=", "value": float("nan")}, "as a text"),
        ({"column": "a", "operator": "=", "value": float("inf")}, "as a text"),
        ({"column": "a", "operator": "=", "value": 10**2000}, "at most 1000 digits"),
        ({"column": "a", "operator": "=", "value": "a\0b"}, "NUL"),
        ({"column": "a", "operator": "=", "value": "\ud800"}, "half a character"),
        ({"column": "a", "operator": "in", "value": 1}, "takes a list"),
        ({"column": "a", "operator": "in", "value": []}, "takes a list"),
        ({"column": "a", "operator": "in", "value": [[1]]}, "a value is"),
        ({"column": "a", "operator": "in", "value": [{"now": ""}]}, "use or"),
        ({"column": "a", "operator": "in", "value": [None]}, "use the operator is null"),
        ({"column": "a", "operator": "between", "value": [1]}, "two values"),
        ({"column": "a", "operator": "between", "value": [1, 2, 3]}, "two values"),
        ({"column": "a", "operator": "like", "value": 5}, "a pattern is a text"),
        ({"column": "a", "operator": "like", "value": "x\\\\\\"}, "lone backslash"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_reason(document: Any, reason: str) -> None:
    with pytest.raises(ConditionRefused) as caught:
        from_json(document)
    assert reason in str(caught.value)


def test_a_document_nested_without_end_is_refused() -> None:
    document: dict[str, Any] = {"column": "a", "operator": "is null"}
    for _ in range(200):
        document = {"not": document}
    with pytest.raises(ConditionRefused, match="nested more than 30 deep"):
        from_json(document)
