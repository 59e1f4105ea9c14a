"""Whatever is held, by any condition on any NULLs and by name, is what is left out of a purge."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operations import vetoes
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table
from operations.conditions.describe import describe
from operations.conditions.structure import Condition
from retention.selectors.hold_counts import rows_held
from retention.selectors.hold_scopes import scopes_of
from retention.selectors.holds import holds_on
from tests.effort import examples
from tests.operations.conditions import ROWS, conditions, create_table
from tests.operations.statements import execute, fetch

from .holding import place, release

pytestmark = [pytest.mark.sql, pytest.mark.django_db]


@pytest.fixture
def stuff(db: None) -> Table:
    create_table()
    execute("ALTER TABLE shop.t ADD PRIMARY KEY (id)")
    return read_table("shop.t")


def ids(where: str) -> set[int]:
    return {row[0] for row in fetch(f"SELECT id FROM shop.t t WHERE {where}", None)}


@settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    held=st.lists(
        st.one_of(
            conditions(), st.sets(st.integers(1, ROWS), min_size=1, max_size=5).map(frozenset)
        ),
        min_size=1,
        max_size=4,
    ),
    released=st.sets(st.integers(0, 3)),
)
def test_what_is_held_is_neither_more_nor_less(
    stuff: Table, held: list[Condition | frozenset[int]], released: set[int]
) -> None:
    with transaction.atomic():
        expected: dict[int, set[str]] = {number: set() for number in range(1, ROWS + 1)}
        for number, what in enumerate(held):
            case = f"case {number}"
            if isinstance(what, frozenset):
                place(case, "shop.t", rows=[str(each) for each in what])
                mine = set(what)
            else:
                place(case, "shop.t", where=describe(what))
                # PostgreSQL's own reading of the text is the judge.
                mine = ids(f"({describe(what)}) IS NOT FALSE")
            if number in released:
                release(case)
                continue
            for each in mine:
                expected[each].add(case)
        free = vetoes.unprotected(vetoes.protections(stuff, using="default"), table=stuff)
        kept = {number for number, cases in expected.items() if cases}
        assert ids(free.as_string(connection.connection)) == set(expected) - kept
        assert rows_held(scopes_of(stuff, using="default"), stuff, using="default").rows == len(
            kept
        )
        touched = holds_on(stuff, [str(number) for number in expected])
        assert {int(key): {hold.case_id for hold in holds} for key, holds in touched.items()} == {
            number: cases for number, cases in expected.items() if cases
        }
        transaction.set_rollback(True)
