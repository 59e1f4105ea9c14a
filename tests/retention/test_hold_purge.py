"""What is held no purge touches; what is not held goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from operations.catalogue.read import table as read_table
from operations.models import Alert, Certificate, Run
from operations.services.actors import system_user
from retention.purge_answers import answers_result
from retention.selectors.holds import holds_on
from retention.services.hold_place import ScopeAsked, hold_place
from retention.services.purge_nightly import purge_nightly
from retention.services.purge_start import purge_run

from .holding import place, release
from .purging import assert_whole, live, make_events, make_policy, ran

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def ada(person: User) -> User:
    person.groups.add(Group.objects.get(name="officer"))
    return person


def due_left(execute: Execute) -> set[int]:
    return {
        row[0]
        for row in execute("SELECT id FROM app.events WHERE created_at < now() - interval '1 year'")
    }


def test_named_rows_stay_until_the_last_hold_on_them_is_released(
    execute: Execute, ada: User
) -> None:
    make_events(execute, due=300)
    policy = make_policy()
    before = live()
    place("2031-17", rows=["1", "150", "300"])
    place("2031-18", rows=["150", "151"])
    run = ran(purge_run(policy=policy, requester=ada))
    assert (run.done, run.plan["protected"]) == (296, 4)
    held = [{"hold": "2031-17", "rows": 3}, {"hold": "2031-18", "rows": 2}]
    assert run.plan["held_by"] == held
    assert Certificate.objects.get(run=run).body["body"]["holds_honoured"] == held
    assert due_left(execute) == {1, 150, 151, 300}
    release("2031-17")
    assert ran(purge_run(policy=policy, requester=ada)).done == 2
    assert due_left(execute) == {150, 151}
    release("2031-18")
    assert ran(purge_run(policy=policy, requester=ada)).done == 2
    assert due_left(execute) == set()
    assert_whole(before)


def test_a_condition_holds_where_it_is_true_or_unknown(execute: Execute, ada: User) -> None:
    make_events(execute, due=200)
    place("2031-17", where="kind = ''")
    ran(purge_run(policy=make_policy(), requester=ada))
    # A quarter of the kinds is empty, a quarter is NULL.
    assert due_left(execute) == {n for n in range(1, 201) if n % 4 in (0, 1)}


def test_a_table_held_as_a_whole_is_refused_and_the_night_says_by_whom(
    execute: Execute, ada: User
) -> None:
    make_events(execute, due=30)
    policy = make_policy()
    before = live()
    place("2031-17")
    said = "app.events is protected as a whole by hold 2031-17."
    assert purge_run(policy=policy, requester=ada).refusal == said
    assert purge_nightly(requester=system_user("scheduler")) == []
    assert said in Alert.objects.get(resolved_at=None).summary
    assert live() == before
    release("2031-17")
    assert len(purge_nightly(requester=system_user("scheduler"))) == 1
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_a_hold_on_the_whole_table_ends_the_run_at_its_next_batch_with_a_certificate(
    execute: Execute, ada: User
) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    before = live()
    under_hold: list[Any] = []

    def meanwhile(run: Run) -> None:
        if run.done > 100 and not under_hold:
            place("2031-17")
            under_hold.append(live())

    answer = purge_run(policy=policy, requester=ada, on_progress=meanwhile)
    assert answers_result([answer]).exit_code == 3
    run = answer.run
    assert run is not None
    assert live() == under_hold[0], "not one row went after the hold was placed"
    assert (run.state, run.error) == (
        "cancelled",
        "app.events is protected as a whole by hold 2031-17.",
    )
    assert run.result["outcome"] == "cancelled"
    certificate = Certificate.objects.get(run=run)
    body = certificate.body["body"]
    assert body["tables"] == [{"table": "app.events", "rows": run.done}]
    assert body["holds_honoured"] == [{"hold": "2031-17", "rows": 600 - run.done}]
    assert_whole(before)
    # No alert of a failure, and once the hold is gone, the next run finishes the work.
    assert not Alert.objects.filter(resolved_at=None).exists()
    release("2031-17")
    assert ran(purge_run(policy=policy, requester=ada)).done == 600 - run.done
    assert_whole(before)


def test_rows_are_held_by_keys_of_several_columns(execute: Execute, ada: User) -> None:
    execute(
        "CREATE TABLE app.lines (day date, number int, code text, at timestamptz,"
        " created_at timestamptz DEFAULT '2001-01-01', PRIMARY KEY (code, at, day, number))"
    )
    execute(
        """INSERT INTO app.lines SELECT '2020-02-01', n, 'a,"b" ' || n,
           '2020-02-01 12:00:00.5+02' FROM generate_series(1, 10) n"""
    )
    hold_place(
        case_id="2031-17",
        reason="The court asked.",
        scopes=[
            ScopeAsked(
                "app.lines",
                rows=[
                    r'["a,\"b\" 3", "2020-02-01 10:00:00.5Z", "2020-02-01", 3]',
                    r'["a,\"b\" 7", "2020-02-01 11:00:00.5+01", "1 Feb 2020", "7"]',
                ],
            )
        ],
        placed_by=ada,
    )
    run = ran(purge_run(policy=make_policy("lines"), requester=ada))
    assert run.done == 8
    assert execute("SELECT number FROM app.lines ORDER BY 1") == [(3,), (7,)]


def test_a_held_row_is_held_whatever_the_session_writes_dates_like(
    execute: Execute, ada: User
) -> None:
    execute(
        "CREATE TABLE app.marks (at timestamptz, day date, raw bytea, amount numeric,"
        " created_at timestamptz DEFAULT '2001-01-01', PRIMARY KEY (at, day, raw, amount))"
    )
    execute(
        "INSERT INTO app.marks VALUES ('2020-03-04 05:06:07+00', '2020-03-04', '\\xff00', 1.50),"
        " ('2020-03-04 05:06:07+00', '2020-03-04', '\\xff00', 2.50)"
    )
    place("2031-17", "app.marks", rows=['["2020-03-04 05:06:07Z", "2020-03-04", "\\\\xff00", 1.5]'])
    execute("SET DateStyle = 'ISO, DMY'")
    execute("SET TimeZone = 'Asia/Tokyo'")
    execute("SET bytea_output = 'escape'")
    try:
        run = ran(purge_run(policy=make_policy("marks", archive=False), requester=ada))
    finally:
        execute("RESET ALL")
    assert run.done == 1
    assert execute("SELECT amount::text FROM app.marks") == [("1.50",)]


@pytest.mark.parametrize("asked", ["app.parts", "app.parts_2001", "app.parts_2001a"])
def test_a_hold_on_any_level_of_a_partitioned_table_covers_its_rows(
    execute: Execute, ada: User, asked: str
) -> None:
    execute(
        "CREATE TABLE app.parts (id int, created_at timestamptz, PRIMARY KEY (id, created_at))"
        " PARTITION BY RANGE (created_at)"
    )
    execute(
        "CREATE TABLE app.parts_2001 PARTITION OF app.parts FOR VALUES FROM ('2001-01-01') TO"
        " ('2002-01-01') PARTITION BY RANGE (created_at)"
    )
    execute(
        "CREATE TABLE app.parts_2001a PARTITION OF app.parts_2001 FOR VALUES FROM ('2001-01-01')"
        " TO ('2001-07-01')"
    )
    execute("CREATE TABLE app.parts_later PARTITION OF app.parts DEFAULT")
    execute(
        "INSERT INTO app.parts SELECT n, timestamptz '2001-02-03' FROM generate_series(1, 9) n"
        " UNION ALL SELECT n, '2003-02-03' FROM generate_series(11, 19) n"
    )
    place("2031-17", asked, rows=["3,2001-02-03"])
    place("2031-18", asked, where="id = 5 OR id = 15")
    policies = [
        make_policy("parts"),
        make_policy("parts_2001a"),
    ]
    for policy in policies:
        ran(purge_run(policy=policy, requester=ada))
    covered = {3, 5, 15} if asked == "app.parts" else {3, 5}
    assert {row[0] for row in execute("SELECT id FROM app.parts")} == covered
    # Held as a whole: the root loses what is elsewhere, the leaf nothing.
    place("2031-19", "app.parts_2001a")
    release("2031-17")
    release("2031-18")
    assert "as a whole by hold 2031-19" in purge_run(policy=policies[1], requester=ada).refusal
    ran(purge_run(policy=policies[0], requester=ada))
    assert {row[0] for row in execute("SELECT id FROM app.parts")} == covered - {15}


def test_rows_named_by_the_key_of_the_whole_are_found_in_a_part_with_a_key_of_its_own(
    execute: Execute, ada: User
) -> None:
    execute(
        "CREATE TABLE app.parts (id int NOT NULL, code int NOT NULL, created_at timestamptz"
        " NOT NULL, UNIQUE (id, created_at)) PARTITION BY RANGE (created_at)"
    )
    execute("CREATE TABLE app.parts_all PARTITION OF app.parts DEFAULT")
    execute("ALTER TABLE app.parts_all ADD PRIMARY KEY (code)")
    execute("INSERT INTO app.parts SELECT n, 100 - n, '2001-02-03' FROM generate_series(1, 9) n")
    place("2031-17", "app.parts", rows=["3,2001-02-03"])
    place("2031-18", "app.parts_all", rows=["95"])
    ran(purge_run(policy=make_policy("parts_all"), requester=ada))
    assert {row[0] for row in execute("SELECT id FROM app.parts")} == {3, 5}
    part = read_table("app.parts_all")
    touched = holds_on(part, ["97", "95", "99"])
    # 99 is gone: what it was called as a row of the whole cannot be told any more.
    assert {key: [str(hold) for hold in holds] for key, holds in touched.items()} == {
        "97": ["hold 2031-17"],
        "95": ["hold 2031-18"],
        "99": ["hold 2031-17"],
    }
