"""Killed at any stage, a purge leaves each row with its history, or archived and without it."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from auditing.models import AuditEvent, ChangeStatement, TrackedTable
from auditing.services.track import table_track
from operations.models import Run
from operations.services.runs import run_cancel, run_pause
from retention.models import ArchivePart
from retention.services import partition_history, partition_phase
from retention.services.purge_start import purge_run
from tests.retention.conftest import nursery, one_nursery
from tests.retention.crash import Nursery
from tests.retention.partitioned import TABLE, make_hits, tables
from tests.retention.purging import assert_whole, live, make_events, make_policy

from .old_histories import Past, history_policy, made_old, months, partitions, shown

__all__ = ["nursery", "one_nursery"]

Execute = Callable[..., list[tuple[Any, ...]]]
DUE = 400


def keys(execute: Execute, table: object, column: str = "id") -> set[int]:
    return {key for (key,) in execute(f'SELECT DISTINCT "{column}" FROM {table}')}


def archived() -> int:
    return sum(ArchivePart.objects.values_list("rows", flat=True))


@pytest.mark.usefixtures("governed")
def test_row_by_row_each_has_its_history_until_it_goes(
    nursery: Nursery, execute: Execute, person: User
) -> None:
    make_events(execute, due=DUE)
    tracked = table_track("app.events", actor=person, reason="the law")
    execute("UPDATE app.events SET kind = 'new'")
    make_policy()
    before, every = live(), keys(execute, "app.events")
    for stage in ["stepping", "copying", "landed", "durable", "committed"]:
        worker = nursery.work(at=stage, number=2)
        worker.wait_for(stage)
        worker.kill()
        here = keys(execute, "app.events")
        assert keys(execute, tracked.history, "1_id") == here, stage
        assert archived() == len(every - here)
        assert not AuditEvent.objects.filter(kind="purge").exists()
    assert nursery.work().end()["end"] == "succeeded"
    here = keys(execute, "app.events")
    assert len(every - here) == DUE
    assert keys(execute, tracked.history, "1_id") == here
    assert_whole(before)
    assert AuditEvent.objects.get(kind="purge").rows == DUE
    assert ChangeStatement.objects.filter(operation="P").count() == 1


def audited_hits(execute: Execute, person: User) -> TrackedTable:
    """Four expired partitions of 400 rows, each row with two versions."""
    make_hits(execute)
    tracked = table_track(TABLE, actor=person, reason="the law")
    execute("UPDATE app.hits SET note = coalesce(note, '') || 'z'")
    execute("ANALYZE app.hits")
    assert execute(f"SELECT count(*) FROM {tracked.history}") == [(2 * 1602,)]
    return tracked


@pytest.mark.usefixtures("governed")
@pytest.mark.parametrize("archive", [True, False])
def test_partition_by_partition_the_history_follows_the_rows(
    nursery: Nursery, execute: Execute, person: User, archive: bool
) -> None:
    tracked = audited_hits(execute, person)
    make_policy("hits", archive=archive)
    before, every = live(TABLE), keys(execute, TABLE)
    stages = ["detaching", "detached", "guarded", "dropped", "forgotten", "known", "committed"]
    for stage in [*stages, *(["copied"] if archive else [])]:
        worker = nursery.work("hits", at=stage, pages=1)
        worker.wait_for(stage)
        worker.kill()
        run = Run.objects.get()
        detached = set(tables(execute)) - {"hits", *attached(execute)}
        here = keys(execute, TABLE)
        for table in detached:
            here |= keys(execute, f"app.{table}")
        known = keys(execute, tracked.history, "1_id")
        # What has no version any more is gone; what is gone has none, or its run is to see to it.
        assert here - known <= forgotten(run, every, known), stage
        assert known <= here, stage
        assert not archive or archived() == run.done
    assert nursery.work("hits", pages=1).end()["end"] == "succeeded"
    run = Run.objects.get()
    assert (run.state, run.done) == ("succeeded", 1600)
    assert len(run.result["partitions_dropped"]) == 4
    assert tables(execute) == ["hits", "hits_2099"]
    assert keys(execute, tracked.history, "1_id") == {1, 2} == keys(execute, TABLE)
    if archive:
        assert_whole(before, table=TABLE)
    event = AuditEvent.objects.get(kind="purge")
    assert (event.rows, event.detail["history"]) == (1600, "gone")


def attached(execute: Execute) -> set[str]:
    return {
        name.removeprefix("app.")
        for (name,) in execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'app.hits'::regclass"
        )
    }


def forgotten(run: Run, every: set[int], known: set[int]) -> set[int]:
    """Keys without a version, if the run is just taking the versions of gone rows away."""
    state = run.cursor.get("partitions", {})
    return every - known if state.get("stage") == "forgetting" else set()


@pytest.mark.usefixtures("governed")
def test_cancelled_while_the_history_follows_it_follows_to_the_end(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_history, "PAGES", (1, 1, 1))
    # It is late as soon as it began: each slice is a step.
    for module in (partition_history, partition_phase):
        monkeypatch.setattr(module, "late", bool)
    tracked = audited_hits(execute, person)
    before = live(TABLE)
    left: list[int] = []

    def pause(run: Run) -> None:
        state = run.cursor.get("partitions", {})
        waiting = len(keys(execute, tracked.history, "1_id") - keys(execute, TABLE))
        # Of the first pages every row has moved on to later ones.
        if state.get("stage") == "forgetting" and waiting < 400 and not left:
            left.append(waiting)
            run_pause(run_id=run.pk, actor=person)

    run = purge_run(policy=make_policy("hits"), requester=person, on_progress=pause).run
    assert run is not None
    assert (run.state, run.done) == ("paused", 400)
    assert 0 < left[0] < 400
    run = run_cancel(run_id=run.pk, actor=person)
    assert (run.state, run.done) == ("cancelled", 400)
    assert set(tables(execute)) == {"hits", *attached(execute)}
    assert keys(execute, tracked.history, "1_id") == keys(execute, TABLE)
    assert_whole(before, table=TABLE)
    assert AuditEvent.objects.get(kind="purge").detail["outcome"] == "cancelled"


@pytest.mark.usefixtures("governed")
def test_old_months_of_a_history_are_carried_forward_once(
    nursery: Nursery, execute: Execute
) -> None:
    tracked = made_old()
    past = Past(tracked, changes=700, seed=12)
    policy = history_policy(tracked)
    boundary = max(start for start in months() if start <= timezone.now() - timedelta(days=730))
    chance = random.Random(13)
    moments = [boundary + chance.random() * (timezone.now() - boundary) for _ in range(30)]
    for number, stage in enumerate(
        ["carried", "detaching", "detached", "copied", "dropped", "known", "carried", "committed"]
    ):
        worker = nursery.work(policy.name, at=stage, number=1 + number % 2, pages=1)
        worker.wait_for(stage)
        worker.kill()
        for moment in moments:
            assert shown(execute, tracked, moment) == past.at(moment), stage
    assert nursery.work(policy.name).end()["end"] == "succeeded"
    for moment in moments:
        assert shown(execute, tracked, moment) == past.at(moment)
    assert partitions(execute, tracked)[0] == f"app__stock_p{boundary:%Y%m}"
    assert execute(
        f"SELECT count(*), count(DISTINCT seq) FROM {tracked.history} WHERE op = 'C'"
    ) == [(len(past.at(boundary)),) * 2]
    assert archived() == Run.objects.get().done
