"""What is in the bin is destroyed by a worker that is killed at any moment, or held up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from operations.models import Run
from retention.exceptions import DeletionRefused
from retention.models import Deletion
from retention.services import purge
from retention.services.purge_start import purge_run
from retention.services.record_restore import record_restore

from .binned import (
    TABLES,
    active,
    assert_counts_true,
    binned,
    ever_policy,
    grace_over,
    ids,
    make_shop,
    soft_policy,
)
from .crash import Nursery
from .holding import place
from .purging import ran
from .records import assert_all_there, state
from .softdeleting import soft_delete

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
POINTS = ("stepping", "copying", "durable", "committed", "begun", "ended")


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    """User 9 is larger than many steps."""
    make_shop(execute)
    execute("INSERT INTO app.lines SELECT n, 17, 'more' FROM generate_series(100, 399) n")


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.usefixtures("shop")
def test_killed_again_and_again_every_row_is_active_binned_or_in_exactly_one_part(
    nursery: Nursery, person: User, seed: int
) -> None:
    ever_policy()
    kept = soft_delete("users", 12)
    for key in (1, 9, 2, 10, 3):
        soft_delete("users", key)
    soft_delete("users", 4, 5, 6)
    grace_over(*Deletion.objects.exclude(pk=kept.pk).values_list("pk", flat=True))
    before, alive = state(*TABLES), {table: active(table) for table in TABLES}
    dice = random.Random(seed)
    for _ in range(5):
        point = dice.choice(POINTS)
        worker = nursery.work("users", at=point, number=dice.randrange(1, 4), records=40)
        worker.wait_for(point)
        worker.kill()
        assert {table: active(table) for table in TABLES} == alive
        assert_counts_true()
        for deletion in Deletion.objects.filter(state="purging"):
            with pytest.raises(DeletionRefused, match="is being destroyed"):
                record_restore(deletion_id=deletion.pk, actor=person)
    assert nursery.work("users", records=40).end() == {"end": "succeeded", "error": ""}
    assert_all_there(before)
    assert_counts_true()
    assert {table: active(table) for table in TABLES} == alive
    assert [binned("users"), binned("orders")] == [[12], [23, 24]]
    states = dict(Deletion.objects.values_list("pk", "state"))
    assert {pk for pk, each in states.items() if each == "deleted"} == {kept.pk}
    assert Run.objects.get().result["bin"]["destroyed"] == 8 * 9 + 300


@pytest.mark.usefixtures("shop")
def test_killed_while_rows_go_into_the_bin_none_is_lost(nursery: Nursery, person: User) -> None:
    soft_policy()
    before = {table: len(ids(table)) for table in TABLES}
    for point, number in (("entered", 1), ("committed", 1), ("entered", 2)):
        worker = nursery.work("users", at=point, number=number, records=20)
        worker.wait_for(point)
        worker.kill()
        assert_counts_true()
    assert nursery.work("users", records=20).end() == {"end": "succeeded", "error": ""}
    assert {table: len(ids(table)) for table in TABLES} == before
    assert active("users") == [7, 8, 9, 10, 11, 12]
    assert_counts_true()
    moved = Run.objects.get().result["bin"]
    assert moved["moved_in"] == 6 * 9
    assert sorted(moved["deletion_numbers"]) == sorted(
        Deletion.objects.values_list("pk", flat=True)
    )


@pytest.mark.usefixtures("shop")
def test_a_hold_that_is_placed_meanwhile_keeps_all_that_is_still_there(
    nursery: Nursery, person: User
) -> None:
    """Of one large record, by a hold on another row than those that go next."""
    ever_policy()
    deletion = soft_delete("users", 9)
    grace_over()
    before = state(*TABLES)
    worker = nursery.work("users", at="committed", number=3, then="stop", records=40)
    worker.wait_stopped()
    place("2031-17", "app.users", rows=["9"])
    left = len(binned("lines"))
    assert 0 < left < 306
    worker.go_on()
    assert worker.end() == {"end": "succeeded", "error": ""}
    assert (binned("users"), binned("orders"), len(binned("lines"))) == ([9], [17, 18], left)
    assert_all_there(before)
    assert_counts_true()
    deletion.refresh_from_db()
    assert deletion.state == "deleted"
    record_restore(deletion_id=deletion.pk, actor=person)
    assert 9 in active("users")
    assert_counts_true()


@pytest.mark.usefixtures("shop")
def test_who_restores_first_keeps_the_records(
    nursery: Nursery, person: User, other_session: Callable[[], psycopg.Connection]
) -> None:
    ever_policy()
    first, second = soft_delete("users", 9), soft_delete("users", 10)
    grace_over()
    session = other_session()
    session.execute("BEGIN")
    session.execute("SELECT custody.restore(%s)", [first.pk])
    worker = nursery.work("users", at="ended", number=1, then="stop", records=40)
    worker.wait_stopped()
    # It waits for nobody: the other deletion is gone, or going, meanwhile.
    session.execute("COMMIT")
    worker.go_on()
    assert worker.end() == {"end": "succeeded", "error": ""}
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("restored", "purged")
    assert 9 in active("users")
    assert len(ids("lines", "order_id = 17")) == 303
    assert 10 not in ids("users")
    assert_counts_true()


@pytest.mark.usefixtures("shop")
def test_a_restore_after_the_first_step_is_refused_in_words(nursery: Nursery, person: User) -> None:
    ever_policy()
    deletion = soft_delete("users", 9)
    grace_over()
    worker = nursery.work("users", at="begun", number=1, then="stop", records=40)
    worker.wait_stopped()
    with pytest.raises(DeletionRefused, match="is being destroyed"):
        record_restore(deletion_id=deletion.pk, actor=person)
    worker.go_on()
    assert worker.end() == {"end": "succeeded", "error": ""}
    assert 9 not in ids("users")


def test_a_deletion_of_100_000_rows_goes_in_steps_of_less_than_two_seconds(
    governed: str, execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(execute)
    execute("INSERT INTO app.lines SELECT n, 17, 'more' FROM generate_series(100, 100099) n")
    soft_delete("users", 9)
    grace_over()
    execute("ANALYZE")
    took: list[float] = []
    original = purge.Purge.step

    def timed(self: purge.Purge, run: Run) -> Any:
        began = time.monotonic()
        try:
            return original(self, run)
        finally:
            took.append(time.monotonic() - began)

    monkeypatch.setattr(purge.Purge, "step", timed)
    run = ran(purge_run(policy=ever_policy(), requester=person))
    assert run.done == 100_009
    assert max(took) < 2
    assert len(took) < 100
    assert ids("users", "id = 9") == []
    assert_counts_true()
