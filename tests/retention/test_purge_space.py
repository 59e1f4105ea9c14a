"""A purge tells room that the system has again from room in the table, and who clears up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from operations.models import Run
from retention.purge_answers import answers_result
from retention.services import purge_space
from retention.services.purge_start import PurgeAnswer, purge_run

from .partitioned import make_hits
from .purging import make_events, make_policy, ran

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


def purged(person: User, table: str = "events") -> Run:
    return ran(purge_run(policy=make_policy(table, archive=False), requester=person))


def test_few_rows_of_many_want_no_vacuum(execute: Execute, person: User) -> None:
    make_events(execute, due=20, fresh=2000)
    execute("ANALYZE app.events")
    space = purged(person).result["space"]
    assert (space["returned_bytes"], space["vacuum"], space["hint"]) == (0, "", "")
    assert 20 * 80 < space["reusable_bytes"] < 20 * 250


def test_where_autovacuum_comes_it_is_said(execute: Execute, person: User) -> None:
    make_events(execute, due=3000, fresh=1000)
    execute("ANALYZE app.events")
    space = purged(person).result["space"]
    assert space["vacuum"] == "autovacuum"
    assert space["hint"] == (
        "75% of the rows of app.events were deleted: autovacuum comes by itself, and makes their "
        "place free for new rows."
    )


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("autovacuum_enabled = off", "autovacuum is switched off"),
        ("autovacuum_vacuum_threshold = 100000", "autovacuum waits for more"),
    ],
)
def test_where_it_does_not_come_the_command_is_named(
    execute: Execute, person: User, option: str, why: str
) -> None:
    make_events(execute, due=500, fresh=1500)
    execute(f"ALTER TABLE app.events SET ({option})")
    execute("ANALYZE app.events")
    run = purged(person)
    command = "VACUUM (ANALYZE) app.events;"
    assert run.result["space"]["vacuum"] == "due"
    assert run.result["space"]["vacuum_command"] == command
    told = answers_result([PurgeAnswer(make_policy("other"), run)]).text[0]
    assert f"25% of the rows of app.events were deleted, and {why}: run {command}" in told
    assert "reusable in the table" in told
    assert "VACUUM FULL" not in told


def test_room_that_only_writing_it_anew_gives_back_is_named(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_space, "REWRITE_BYTES", 100_000)
    make_events(execute, due=3000, fresh=500)
    execute("ANALYZE app.events")
    hint = purged(person).result["space"]["hint"]
    assert "VACUUM FULL app.events; (nobody reads or writes the table meanwhile" in hint
    assert "pg_repack" in hint


def test_batches_and_partitions_are_reckoned_apart(execute: Execute, person: User) -> None:
    make_hits(execute)
    execute("CREATE VIEW app.seen AS SELECT id FROM app.hits_2019")
    size = execute("SELECT pg_total_relation_size('app.hits_2018')")[0][0]
    run = purged(person, "hits")
    space = run.result["space"]
    assert run.done == 1600
    assert space["returned_bytes"] == 3 * size
    assert 400 * 40 < space["reusable_bytes"] < 400 * 120
    told = answers_result([PurgeAnswer(make_policy("other"), run)]).text[0]
    assert "; 3 partitions dropped, " in told
    assert "returned to the system; about " in told
