"""What changes during a purge: the policy, the table. It stops, and proves what it did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from operations.models import Certificate, Run
from operations.services.runs import run_cancel, run_pause
from retention.models import Archive, RetentionPolicy
from retention.services.purge_start import purge_run

from .purging import archived, assert_whole, files, known_files, live, make_events, make_policy, ran

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]


def once(act: Callable[[], Any]) -> Callable[[Run], None]:
    """Does it after the first steps of a run."""
    done = False

    def progress(run: Run) -> None:
        nonlocal done
        if run.done > 100 and not done:
            done = True
            act()

    return progress


def assert_closed(run: Run | None) -> Run:
    """Cancelled in the middle; its archive and certificate say what it did."""
    assert run is not None
    assert run.state == "cancelled", run.error
    assert 100 < run.done < 600
    archive = Archive.objects.get(run=run)
    assert (archive.state, archive.rows) == ("complete", run.done)
    body = Certificate.objects.get(run=run).body["body"]
    assert body["tables"][0]["rows"] == run.done
    assert body["outcome"] == "cancelled"
    assert files() == known_files()
    return run


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"version": 2, "keep_hours": 24},
        {"version": 2, "archive_first": False},
        {"version": 2, "keep_condition": {"column": "kind", "operator": "is null"}},
    ],
    ids=["disabled", "term", "archive", "condition"],
)
def test_a_policy_that_is_changed_ends_the_run_with_its_proof(
    execute: Execute, person: User, change: dict[str, Any]
) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    before = live()
    change_it = once(lambda: RetentionPolicy.objects.filter(pk=policy.pk).update(**change))
    answer = purge_run(policy=policy, requester=person, on_progress=change_it)
    run = assert_closed(answer.run)
    assert "was changed after this run was planned" in run.error
    assert_whole(before)


ALTERED = {
    "column added": "ALTER TABLE app.events ADD COLUMN secret text DEFAULT 'only here'",
    "column dropped": "ALTER TABLE app.events DROP COLUMN tags",
    "age dropped": "ALTER TABLE app.events DROP COLUMN created_at",
    "type changed": "ALTER TABLE app.events ALTER COLUMN kind TYPE varchar(99)",
    "column renamed": "ALTER TABLE app.events RENAME COLUMN payload TO load",
    "cascade added": (
        "CREATE TABLE app.children (event bigint REFERENCES app.events ON DELETE CASCADE)"
    ),
    "reference added": "CREATE TABLE app.children (event bigint REFERENCES app.events)",
}


@pytest.mark.parametrize("statement", ALTERED.values(), ids=ALTERED.keys())
@pytest.mark.parametrize("by_age", [False, True])
def test_a_table_that_is_altered_ends_the_run_and_keeps_what_is_not_archived(
    execute: Execute, person: User, statement: str, by_age: bool
) -> None:
    if "varchar" in statement:
        statement = f"ALTER TABLE app.events DROP COLUMN long; {statement}"
    make_events(execute, due=600, fresh=20_000 if by_age else 50)
    if by_age:
        execute("CREATE INDEX ON app.events (created_at)")
        execute("ANALYZE app.events")
    policy = make_policy()
    count = sum(live().values())
    answer = purge_run(
        policy=policy, requester=person, on_progress=once(lambda: execute(statement))
    )
    run = assert_closed(answer.run)
    assert run.plan["walk"]["by"] == ("key" if by_age else "ctid")
    assert "app.events changed after this run was planned" in run.error
    assert execute("SELECT count(*) FROM app.events") == [(count - run.done,)]
    assert Archive.objects.get().rows == run.done


@pytest.mark.parametrize("moment", ["running", "paused"])
def test_a_table_that_is_gone_ends_the_run_and_does_not_block_its_policy(
    execute: Execute, person: User, moment: str
) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    if moment == "running":
        answer = purge_run(
            policy=policy,
            requester=person,
            on_progress=once(lambda: execute("DROP TABLE app.events")),
        )
    else:
        pause = once(lambda: run_pause(run_id=Run.objects.get().pk, actor=person))
        purge_run(policy=policy, requester=person, on_progress=pause)
        execute("DROP TABLE app.events")
        answer = purge_run(policy=policy, requester=person)
    assert_closed(answer.run)
    assert not Run.objects.filter(state__in=["queued", "running", "failed"]).exists()


def test_a_paused_run_whose_table_is_gone_can_be_cancelled(execute: Execute, person: User) -> None:
    make_events(execute, due=600)
    pause = once(lambda: run_pause(run_id=Run.objects.get().pk, actor=person))
    purge_run(policy=make_policy(), requester=person, on_progress=pause)
    execute("DROP TABLE app.events")
    assert_closed(run_cancel(run_id=Run.objects.get().pk, actor=person))


def test_paused_and_resumed_it_goes_on_where_it_was(execute: Execute, person: User) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    before = live()
    pause = once(lambda: run_pause(run_id=Run.objects.get().pk, actor=person, reason="lunch"))
    paused = purge_run(policy=policy, requester=person, on_progress=pause).run
    assert paused is not None
    assert paused.state == "paused"
    assert 100 < paused.done < 600
    assert_whole(before, complete=False)
    resumed = ran(purge_run(policy=policy, requester=person))
    assert (resumed.pk, resumed.done) == (paused.pk, 600)
    assert_whole(before)


def test_cancelled_it_keeps_the_rest_and_proves_what_it_did(execute: Execute, person: User) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    before = live()
    cancel = once(lambda: run_cancel(run_id=Run.objects.get().pk, actor=person))
    cancelled = assert_closed(purge_run(policy=policy, requester=person, on_progress=cancel).run)
    assert_whole(before)
    again = ran(purge_run(policy=policy, requester=person))
    assert again.pk != cancelled.pk
    assert again.done == 600 - cancelled.done
    assert live() + archived() == before


def test_what_lies_in_a_folder_with_a_longer_name_is_never_reaped(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    pause = once(lambda: run_pause(run_id=Run.objects.get().pk, actor=person))
    purge_run(policy=policy, requester=person, on_progress=pause)
    folder = Archive.objects.get().folder
    others = {f"{folder}0/part-000001-1.1.csv.zst", f"{folder}-b/.part.csv.zst.x1.tmp"}
    mine = {f"{folder}/part-000099-1.7.csv.zst", f"{folder}/.part-000099-1.7.csv.zst.x.tmp"}
    for file in others | mine:
        path = Path(settings.CUSTODY_STORAGE) / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    ran(purge_run(policy=policy, requester=person))
    assert files() == known_files() | others
