"""A veto wins over everything that destroys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from psycopg import sql

from operations import vetoes
from operations.catalogue.types import Table, TableName
from operations.models import Run
from operations.vetoes import Protection
from retention.services.purge_start import purge_preview, purge_run

from .purging import assert_whole, live, make_events, make_policy, ran

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]


class Holds:
    """A source of vetoes beside the legal holds."""

    def __init__(self) -> None:
        self.placed: list[Protection] = []

    def protections(self, table: Table, *, using: str) -> Iterator[Protection]:
        if str(table.name) == "app.events":
            yield from self.placed

    def holders(self, name: TableName, *, using: str) -> Iterator[str]:
        return iter(())


@pytest.fixture
def holds() -> Iterator[Holds]:
    made = Holds()
    vetoes.register("test", made)
    yield made
    vetoes.unregister("test")


def condition(text: str) -> sql.SQL:
    return sql.SQL(text)


def test_rows_under_a_hold_are_kept_and_counted(
    execute: Execute, person: User, holds: Holds
) -> None:
    make_events(execute, due=300)
    holds.placed = [Protection("hold 1", condition("t.id % 3 = 0"))]
    policy = make_policy()
    before = live()
    run = ran(purge_run(policy=policy, requester=person))
    assert (run.done, run.plan["protected"]) == (200, 100)
    assert execute("SELECT count(*) FROM app.events WHERE id <= 300 AND id % 3 <> 0") == [(0,)]
    assert_whole(before)


def test_a_row_for_which_the_hold_is_unknown_is_kept(
    execute: Execute, person: User, holds: Holds
) -> None:
    make_events(execute, due=300)
    # A quarter of the kinds is NULL.
    holds.placed = [Protection("hold 1", condition("t.kind = 'no such kind'"))]
    run = ran(purge_run(policy=make_policy(), requester=person))
    assert (run.done, run.plan["protected"]) == (225, 75)
    assert execute("SELECT DISTINCT kind FROM app.events WHERE id <= 300") == [(None,)]


def test_of_several_holds_each_protects(execute: Execute, person: User, holds: Holds) -> None:
    make_events(execute, due=300)
    holds.placed = [
        Protection("hold 1", condition("t.id < 11")),
        Protection("hold 2", condition("t.id > 290")),
    ]
    assert ran(purge_run(policy=make_policy(), requester=person)).done == 280


def test_a_table_under_a_hold_is_not_purged_at_all(
    execute: Execute, person: User, holds: Holds
) -> None:
    make_events(execute, due=300)
    holds.placed = [Protection("hold 7", None)]
    policy = make_policy()
    before = live()
    answer = purge_run(policy=policy, requester=person)
    assert answer.refusal == "app.events is protected as a whole by hold 7."
    with pytest.raises(vetoes.Vetoed):
        purge_preview(policy=policy)
    assert live() == before
    assert not Run.objects.exists()


@pytest.mark.parametrize("whole", [False, True])
def test_a_hold_placed_during_a_run_holds_from_the_next_batch(
    execute: Execute, person: User, holds: Holds, whole: bool
) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    before = live()
    under_hold: list[Any] = []

    def place(run: Run) -> None:
        if run.done > 100 and not holds.placed:
            holds.placed = [Protection("hold 9", None if whole else condition("true"))]
            under_hold.append(live())

    answer = purge_run(policy=policy, requester=person, on_progress=place)
    assert answer.run is not None
    assert 100 < answer.run.done < 600
    assert live() == under_hold[0], "not one row went after the hold was placed"
    assert_whole(before)
    if whole:
        assert answer.run.state == "cancelled"
        assert "protected as a whole by hold 9" in answer.run.error
        # Lifted, a new run does the rest.
        holds.placed = []
        ran(purge_run(policy=policy, requester=person))
        assert_whole(before)
