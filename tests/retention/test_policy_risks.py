"""What needs another person, and what does not: nothing that could destroy more slips through."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from psycopg import sql

from operations.catalogue.types import Table, TableName
from operations.conditions.structure import And, Comparison, Condition, Not, Or
from retention.selectors.due import DueRows, due
from retention.services.policy_risks import policy_risks
from retention.services.policy_terms import PolicyTerms
from tests.effort import examples
from tests.operations.conditions import create_table
from tests.operations.statements import fetch

from .policy_terms import TERMS, changed

A, B, C = (Comparison(column, "is null") for column in "abc")
LINES, NOTES = TableName("shop", "lines"), TableName("shop", "notes")


def risks(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    return policy_risks(replace(TERMS, **old), replace(TERMS, **new))


@pytest.mark.parametrize(
    ("smaller", "larger", "told"),
    [
        ({"enabled": False}, {"enabled": True}, "begins to remove rows of shop.t"),
        ({"keep_hours": None}, {"keep_hours": 2160}, "begins to remove rows of shop.t"),
        ({"keep_hours": 2160}, {"keep_hours": 36}, "kept for 36 hours in place of 90 days"),
        ({"keep_condition": A}, {"keep_condition": None}, "no longer kept while a IS NULL"),
        (
            {"keep_condition": Or((A, B))},
            {"keep_condition": A},
            "kept while a IS NULL OR b IS NULL are kept while a IS NULL",
        ),
        ({"archive_first": True}, {"archive_first": False}, "no longer archived"),
        ({"archive_days": None}, {"archive_days": 365}, "for 365 days in place of for ever"),
        ({"archive_days": 365}, {"archive_days": 364}, "for 364 days in place of for 365 days"),
        (
            {"keep_hours": None},
            {"keep_hours": None, "soft_delete": True},
            "destroy what is in the bin of shop.t",
        ),
        (
            {"keep_hours": None, "soft_delete": True},
            {"keep_hours": 2160, "soft_delete": True},
            "kept for 90 days in place of for ever",
        ),
        ({"dependents": ()}, {"dependents": (LINES,)}, "Rows of shop.lines go along"),
        ({"dependents": (LINES,)}, {"dependents": (NOTES, LINES)}, "Rows of shop.notes go along"),
    ],
)
def test_what_destroys_more_has_a_reason_and_its_opposite_has_none(
    smaller: dict[str, Any], larger: dict[str, Any], told: str
) -> None:
    (reason,) = risks(smaller, larger)
    assert told in reason
    assert risks(larger, smaller) == ()


def test_soft_deletion_is_a_reason_both_ways() -> None:
    """What is past its term can be restored for longer, and what was deleted for less long."""
    (begins,) = risks({}, {"soft_delete": True})
    assert "destroy what is in the bin" in begins
    (ends,) = risks({"soft_delete": True}, {})
    assert "no longer deleted softly" in ends


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"age_column": "local"}, "from local in place of seen_at"),
        ({"table": LINES}, "rows of shop.lines in place of shop.t"),
    ],
)
def test_what_destroys_other_rows_has_a_reason_both_ways(change: dict[str, Any], told: str) -> None:
    (reason,) = risks({}, change)
    assert told in reason
    assert len(risks(change, {})) == 1


@pytest.mark.parametrize(
    ("old", "new", "safe"),
    [
        (None, A, True),
        (A, A, True),
        (A, Or((B, A)), True),
        (Or((A, B)), Or((C, B, A)), True),
        (A, None, False),
        (A, B, False),
        (A, And((A, B)), False),
        (A, Not(A), False),
        (Or((A, B)), And((A, B)), False),
        # Wider, but only a person sees that.
        (And((A, B)), A, False),
    ],
)
def test_a_condition_may_only_gain_alternatives(
    old: Condition | None, new: Condition | None, safe: bool
) -> None:
    assert (risks({"keep_condition": old}, {"keep_condition": new}) == ()) is safe


@pytest.mark.parametrize(
    "change",
    [{"owner": "Security"}, {"legal_basis": "Art. 6"}, {"enabled": False}, {"keep_hours": None}],
)
def test_texts_and_whatever_removes_nothing_need_nobody(change: dict[str, Any]) -> None:
    assert risks({}, change) == ()
    shortened = {"keep_hours": 1, "archive_first": False, "archive_days": None, **change}
    assert bool(risks({}, shortened)) is ("enabled" not in change and "keep_hours" not in change)


def test_a_new_policy_needs_another_person_only_when_it_removes_rows() -> None:
    assert len(policy_risks(None, TERMS)) == 1
    assert policy_risks(None, replace(TERMS, keep_hours=None)) == ()
    assert policy_risks(None, replace(TERMS, enabled=False)) == ()


def test_every_reason_is_told() -> None:
    worse = {"keep_hours": 1, "archive_first": False, "archive_days": None, "dependents": (LINES,)}
    assert len(risks({"soft_delete": True, "keep_condition": A}, worse)) == 5


@pytest.fixture
def t(db: None) -> Table:
    return create_table()


@pytest.mark.sql
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(pair=changed())
def test_without_a_reason_no_row_becomes_due_that_was_not(
    t: Table, pair: tuple[PolicyTerms, PolicyTerms]
) -> None:
    (old, new), now = pair, datetime.now(UTC)
    before, after = due_rows(old, t, now), due_rows(new, t, now)
    if policy_risks(old, new):
        event("asks; more rows go" if after - before else "asks; no more rows go")
        return
    event("does not ask; rows go" if after else "does not ask; none go")
    assert after <= before


def due_rows(terms: PolicyTerms, table: Table, now: datetime) -> set[int]:
    if not terms.removes or terms.keep_hours is None:
        return set()
    cutoff = now - timedelta(hours=terms.keep_hours)
    rows = DueRows(table, terms.age_column, cutoff, terms.keep_condition)
    where = due(rows, sql.SQL("true"), walking=False)
    return {row[0] for row in fetch(sql.SQL("SELECT id FROM shop.t t WHERE {}").format(where))}
