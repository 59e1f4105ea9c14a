"""A purge from the plan to the certificate: which rows go, and which are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from operations.catalogue.read import table
from operations.conditions.parse import parse_condition
from operations.conditions.structure import to_json
from operations.models import Certificate, Run
from operations.runs.exceptions import RunBusy
from operations.services import run_to_end
from retention.models import Archive
from retention.services.purge_start import purge_run

from .purging import (
    archived,
    assert_whole,
    files,
    live,
    make_events,
    make_policy,
    messages,
    ran,
)

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed", "small_batches")]
Execute = Callable[..., list[tuple[Any, ...]]]


LEFT = (
    "Some due rows may be left: they are locked, moved, or kept by a trigger. "
    "The next run tries again."
)


def ids(execute: Execute, table: str = "app.things") -> list[int]:
    return [row[0] for row in execute(f"SELECT id FROM {table} ORDER BY id")]


def test_expired_rows_are_archived_and_deleted_and_certified(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=600)
    before = live()
    run = ran(purge_run(policy=make_policy(), requester=person, reason="the term is over"))
    assert (run.done, run.total) == (600, 600)
    assert sum(live().values()) == 60
    assert_whole(before)
    archive = Archive.objects.get(run=run)
    assert archive.parts.count() > 3
    assert (archive.state, archive.rows) == ("complete", 600)
    assert archive.expires_at is None
    body = Certificate.objects.get(run=run).body["body"]
    assert body["tables"] == [{"table": "app.events", "rows": 600}]
    assert body["disposition"] == "archived"
    assert (body["requested_by"], body["reason"]) == ("ada", "the term is over")
    assert body["archive"]["manifest_sha256"] == archive.manifest_sha256
    assert len(body["archive"]["parts"]) == archive.parts.count()


def test_without_an_archive_rows_are_destroyed_and_certified(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=600)
    run = ran(purge_run(policy=make_policy(archive=False), requester=person))
    assert run.done == 600
    assert sum(live().values()) == 60
    assert not Archive.objects.exists()
    assert files() == set()
    assert Certificate.objects.get(run=run).body["body"]["disposition"] == "destroyed"


def test_when_nothing_is_due_nothing_is_written(execute: Execute, person: User) -> None:
    make_events(execute, due=0)
    run = ran(purge_run(policy=make_policy(), requester=person))
    assert (run.done, run.total) == (0, 0)
    assert files() == set()
    assert not Certificate.objects.exists()


def test_the_next_run_takes_what_became_due_since(execute: Execute, person: User) -> None:
    make_events(execute, due=300, fresh=50)
    policy = make_policy()
    before = live()
    ran(purge_run(policy=policy, requester=person))
    execute("UPDATE app.events SET created_at = created_at - interval '2 years' WHERE id > 300")
    older = live()
    second = ran(purge_run(policy=policy, requester=person))
    assert second.done == 50
    assert sum(live().values()) == 10
    assert Archive.objects.count() == 2
    assert sum((live() + archived()).values()) == sum(before.values())
    assert older <= live() + archived()


KINDS = [
    ("date", "current_date - n"),
    ("timestamp", "now()::timestamp - n * interval '1 day'"),
    ("timestamptz", "now() - n * interval '1 day'"),
    ("daterange", "daterange(NULL, current_date - n)"),
    (
        "tsrange",
        "tsrange(now()::timestamp - interval '9 years', now()::timestamp - n * '1 day'::interval)",
    ),
    ("tstzrange", "tstzrange(NULL, now() - n * interval '1 day')"),
]


@pytest.mark.parametrize(("kind", "age"), KINDS, ids=[kind for kind, _ in KINDS])
@pytest.mark.parametrize("indexed", [False, True])
def test_the_age_is_a_date_a_timestamp_or_a_range(
    execute: Execute, person: User, kind: str, age: str, indexed: bool
) -> None:
    execute(f"CREATE TABLE app.things (id int PRIMARY KEY, at {kind})")
    execute(f"INSERT INTO app.things SELECT n, {age} FROM generate_series(1, 40) n")
    execute("INSERT INTO app.things SELECT n, NULL FROM generate_series(101, 105) n")
    if kind.endswith("range"):
        # Without an end it is not over; an empty one never was.
        execute(f"INSERT INTO app.things VALUES (201, '[2001-01-01,)'::{kind}), (202, 'empty')")
    if indexed:
        execute("CREATE INDEX ON app.things (at)")
        execute("ANALYZE app.things")
    policy = make_policy("things", age_column="at", keep_hours=24 * 30)
    before = live("app.things")
    ran(purge_run(policy=policy, requester=person))
    kept = ids(execute)
    # On the day itself a row is 30 days old; a date has expired when its whole day has.
    last = 30 if kind in ("date", "daterange") else 29
    extra = [201, 202] if kind.endswith("range") else []
    assert kept == [*range(1, last + 1), *range(101, 106), *extra]
    assert_whole(before, table="app.things")


def test_a_row_is_kept_while_the_condition_holds_or_is_unknown(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, created_at timestamptz, open boolean)")
    execute(
        "INSERT INTO app.things SELECT n, now() - interval '9 years',"
        " CASE n % 3 WHEN 0 THEN true WHEN 1 THEN false END FROM generate_series(1, 300) n"
    )
    keep = to_json(parse_condition("open = true", table("app.things")))
    policy = make_policy("things", keep_condition=keep)
    before = live("app.things")
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 100
    assert ids(execute) == [n for n in range(1, 301) if n % 3 != 1]
    assert (run.plan["kept_by_condition"], run.plan["undecided"]) == (100, 100)
    assert_whole(before, table="app.things")


def test_rows_that_the_application_holds_locked_are_gone_around_and_said(
    execute: Execute, person: User, other_session: Callable[[], Any]
) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    before = live()
    session = other_session()
    session.autocommit = False
    session.execute("SELECT FROM app.events WHERE id IN (7, 8) FOR UPDATE")
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 598
    assert LEFT in messages(run)
    assert_whole(before)
    session.rollback()
    assert ran(purge_run(policy=policy, requester=person)).done == 2
    assert_whole(before)


def test_when_every_row_is_locked_it_says_so(
    execute: Execute, person: User, other_session: Callable[[], Any]
) -> None:
    make_events(execute, due=30)
    session = other_session()
    session.autocommit = False
    session.execute("SELECT FROM app.events FOR UPDATE")
    run = ran(purge_run(policy=make_policy(), requester=person))
    assert run.done == 0
    assert LEFT in messages(run)


def test_rows_that_move_while_the_table_is_walked_are_swept_up(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=600)
    before = live()
    moved = False

    def move(run: Run) -> None:
        nonlocal moved
        if run.done > 200 and not moved:
            moved = True
            # The last pages' rows find room on pages that were walked already.
            execute("VACUUM app.events")
            execute("UPDATE app.events SET kind = kind WHERE id > 500")

    run = ran(purge_run(policy=make_policy(), requester=person, on_progress=move))
    assert moved
    assert run.done == 600
    assert_whole(before)


def test_the_last_batch_of_a_killed_worker_does_not_look_like_a_living_one(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(execute, due=300)
    original = run_to_end.run_execute
    tries: list[int] = []

    def busy(**arguments: Any) -> Run:
        tries.append(1)
        if len(tries) < 3:
            # Its last COMMIT lands while we look.
            Run.objects.update(done=1)
            raise RunBusy("in the hands of a worker that was killed")
        Run.objects.update(done=0)
        return original(**arguments)

    monkeypatch.setattr(run_to_end, "run_execute", busy)
    assert ran(purge_run(policy=make_policy(), requester=person)).done == 300
    assert len(tries) == 3


def test_a_trigger_that_keeps_rows_is_told(execute: Execute, person: User) -> None:
    make_events(execute, due=300)
    execute(
        "CREATE FUNCTION app.keep() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF old.id % 2 = 0 THEN RETURN NULL; END IF; RETURN old; END'"
    )
    execute(
        "CREATE TRIGGER keep BEFORE DELETE ON app.events FOR EACH ROW EXECUTE FUNCTION app.keep()"
    )
    before = live()
    run = ran(purge_run(policy=make_policy(), requester=person))
    assert (run.done, run.total) == (150, 300)
    assert LEFT in messages(run)
    assert_whole(before)


@pytest.mark.parametrize("action", ["NOTHING", "UPDATE app.events SET kind = 'gone' WHERE false"])
def test_a_rule_that_puts_something_in_place_of_a_delete_costs_no_row(
    execute: Execute, person: User, action: str
) -> None:
    make_events(execute, due=300)
    execute(f"CREATE RULE soft AS ON DELETE TO app.events DO INSTEAD {action}")
    before = live()
    answer = purge_run(policy=make_policy(), requester=person)
    assert answer.run is not None
    assert answer.run.state == "failed"
    assert "INSTEAD" in answer.run.error
    assert live() == before
    assert_whole(before, complete=False)


def test_a_policy_whose_table_is_gone_keeps_no_other_from_going(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=300)
    make_policy("gone")
    make_policy()
    with pytest.raises(CommandError) as refused:
        call_command("purge_run")
    assert refused.value.returncode == 3
    assert Run.objects.get().done == 300


def test_a_table_without_a_key_and_with_an_unusual_name_is_purged(
    execute: Execute, person: User
) -> None:
    execute('CREATE TABLE app."Odd ""name%" (id int, created_at timestamptz, "per%cent" text)')
    execute(
        "INSERT INTO app.\"Odd \"\"name%\" SELECT n, now() - n * interval '1 day', '%s' || n"
        " FROM generate_series(1, 500) n"
    )
    odd = 'app."Odd ""name%"'
    policy = make_policy('Odd "name%', name="odd")
    before = live(odd)
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 500 - 364
    assert_whole(before, table=odd)
