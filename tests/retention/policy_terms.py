"""Terms of policies for the tests: some that remove rows, and random ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from operations.catalogue.types import TableName
from operations.conditions.structure import And, Condition, Not, Or
from retention.services.policy_terms import PolicyTerms
from tests.operations.conditions import comparisons, conditions

TERMS = PolicyTerms(
    name="t",
    table=TableName("shop", "t"),
    age_column="seen_at",
    keep_hours=2160,
    archive_first=True,
    archive_days=365,
)
AGES = ["seen_at", "local", "day", "period"]
HOURS = [None, 0, 12, 36, 24 * 400, 24 * 40_000]


def terms() -> st.SearchStrategy[PolicyTerms]:
    """Of the table that `tests.operations.conditions` makes."""
    hours = st.sampled_from(HOURS)
    return st.builds(
        lambda hours, archive, days, **other: replace(
            TERMS,
            keep_hours=hours,
            archive_first=archive,
            archive_days=days if archive else None,
            **other,
        ),
        hours,
        st.booleans(),
        st.sampled_from([None, 1, 365]),
        age_column=st.sampled_from(AGES),
        keep_condition=st.none() | comparisons() | conditions(),
        soft_delete=st.booleans(),
        enabled=st.booleans(),
        owner=st.sampled_from(["", "Security"]),
    )


def changed() -> st.SearchStrategy[tuple[PolicyTerms, PolicyTerms]]:
    """Old and new terms: with one thing changed, as people do, or with nothing in common."""
    return st.one_of(_other_condition(), _other_term(), st.tuples(terms(), terms()))


@st.composite
def _other_condition(draw: st.DrawFn) -> tuple[PolicyTerms, PolicyTerms]:
    """By terms by which most rows are due: so every row that a condition keeps can be seen."""
    base = replace(draw(terms()), enabled=True, keep_hours=draw(st.sampled_from([0, 12])))
    pool = draw(st.lists(comparisons() | conditions(), min_size=2, max_size=3))
    old, new = (replace(base, keep_condition=draw(_some_of(pool))) for _ in range(2))
    return old, new


def _some_of(pool: list[Condition]) -> st.SearchStrategy[Condition | None]:
    """Some of the conditions, joined by OR; now and then by AND, or turned around."""
    some = st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique_by=repr)
    return st.one_of(
        some.map(lambda parts: Or(tuple(parts)) if len(parts) > 1 else parts[0]),
        st.sampled_from(pool),
        some.map(lambda parts: And(tuple(parts)) if len(parts) > 1 else Not(parts[0])),
        st.none(),
    )


@st.composite
def _other_term(draw: st.DrawFn) -> tuple[PolicyTerms, PolicyTerms]:
    name = draw(st.sampled_from(["keep_hours", "age_column", "age_column", "enabled"]))
    keep = draw(st.none() | comparisons())
    old, other = (replace(draw(terms()), keep_condition=keep) for _ in range(2))
    if name != "enabled":
        old, other = replace(old, enabled=True), replace(other, enabled=True)
    return old, replace(old, **{name: getattr(other, name)})
