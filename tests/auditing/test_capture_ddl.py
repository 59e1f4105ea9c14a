"""No change of a table's columns makes a write fail or loses a value, with the event trigger and
without the right to make one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from auditing.models import AuditEvent, TrackedTable
from auditing.selectors.tracked import standings
from auditing.services import event_trigger, sync, track
from auditing.services.baseline import baseline_run
from auditing.services.sync import table_sync
from auditing.services.track import table_track

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(
    params=[pytest.param("event trigger", marks=pytest.mark.superuser), "guard"],
)
def following(
    request: pytest.FixtureRequest, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """How changed columns are noticed."""
    superuser = execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(True,)]
    if request.param == "guard" and superuser:
        execute("DROP EVENT TRIGGER IF EXISTS custody_audit_ddl")
        for module in (track, sync):
            monkeypatch.setattr(module, "event_trigger_ensure", lambda **_: False)
    yield request.param
    if superuser:
        event_trigger.event_trigger_ensure(using="default")


@pytest.fixture
def things(following: str, governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text, price numeric(8,2))")
    tracked = table_track("app.things", actor=person, reason="test")
    assert tracked.guarded == (following == "guard")
    execute("INSERT INTO app.things VALUES (1, 'a', 1), (2, 'b', 2)")
    return tracked


def kept(execute: Execute, columns: str) -> list[tuple[Any, ...]]:
    return execute(f"SELECT op, {columns} FROM history.app__things ORDER BY seq, 2")


def problems(tracked: TrackedTable) -> list[str]:
    (standing,) = standings(only=tracked)
    return standing.problems


def test_a_column_that_is_added_is_kept_aside_and_then_in_a_place_of_its_own(
    things: TrackedTable, execute: Execute, person: User
) -> None:
    execute("ALTER TABLE app.things ADD COLUMN colour text")
    execute("UPDATE app.things SET colour = 'red' WHERE id = 1")
    execute("INSERT INTO app.things VALUES (3, 'c', 3, 'blue')")
    assert kept(execute, "\"1_id\", rest ->> '4'")[2:] == [("U", 1, "red"), ("I", 3, "blue")]
    assert "colour" in " ".join(problems(things))
    synced = table_sync(things, actor=person)
    assert synced.columns_added == ("4_colour",)
    assert problems(things) == []
    execute("UPDATE app.things SET colour = 'green' WHERE id = 1")
    assert kept(execute, '"1_id", "4_colour", rest::text')[-1] == ("U", 1, "green", None)


def test_the_bits_of_a_version_name_the_columns_of_its_own_layout(
    things: TrackedTable, execute: Execute
) -> None:
    execute("UPDATE app.things SET price = 9 WHERE id = 1")
    execute("ALTER TABLE app.things DROP COLUMN name, ADD COLUMN colour text")
    execute("UPDATE app.things SET colour = 'red' WHERE id = 1")
    assert execute(
        "SELECT h.changed::text, l.names FROM history.app__things h "
        "JOIN custody.auditing_layout l ON l.id = h.layout WHERE op = 'U' ORDER BY seq"
    ) == [("001", ["id", "name", "price"]), ("001", ["id", "price", "colour"])]


def test_a_column_that_is_dropped_and_added_again_is_another_one(
    things: TrackedTable, execute: Execute, person: User
) -> None:
    execute("ALTER TABLE app.things DROP COLUMN name")
    execute("UPDATE app.things SET price = 5 WHERE id = 1")
    execute("ALTER TABLE app.things ADD COLUMN name int")
    execute("UPDATE app.things SET name = 7 WHERE id = 1")
    table_sync(things, actor=person)
    execute("UPDATE app.things SET name = 8 WHERE id = 1")
    assert kept(execute, '"2_name", "4_name", rest::text')[2:] == [
        ("U", None, None, None),
        ("U", None, None, '{"4": "7"}'),
        ("U", None, 8, None),
    ]
    dropped = things.columns.get(attnum=2)
    assert (dropped.name, dropped.dropped_at is not None) == ("name", True)


def test_renamed_columns_and_tables_go_on_under_their_old_history(
    things: TrackedTable, execute: Execute, person: User
) -> None:
    execute("ALTER TABLE app.things RENAME COLUMN name TO title")
    execute("ALTER TABLE app.things RENAME COLUMN price TO name")
    execute("ALTER TABLE app.things RENAME TO goods")
    execute("UPDATE app.goods SET title = 'x', name = 5 WHERE id = 1")
    execute("TRUNCATE app.goods")
    assert kept(execute, '"2_name", "3_price"')[2:] == [
        ("U", "x", 5),
        ("T", "b", 2),
        ("T", "x", 5),
    ]
    assert any("goods" in told for told in problems(things))
    synced = table_sync(things, actor=person)
    assert (str(synced.tracked), synced.renamed_from) == ("app.goods", "app.things")
    assert problems(synced.tracked) == []


@pytest.mark.parametrize(
    "case",
    [
        ("ALTER COLUMN price TYPE text USING 'about ' || price", "cheap", "cheap"),
        ("ALTER COLUMN price TYPE numeric(20, 5)", "1.5", "1.50000"),
        ("ALTER COLUMN price TYPE float8", "1e100", "1e+100"),
        ("ALTER COLUMN name TYPE varchar(40)", "9", "9.00"),
    ],
)
def test_a_column_of_another_type_keeps_every_value(
    things: TrackedTable, execute: Execute, person: User, case: tuple[str, str, str]
) -> None:
    change, value, read = case
    execute(f"ALTER TABLE app.things {change}")
    execute("UPDATE app.things SET price = %s WHERE id = 1", [value])
    table_sync(things, actor=person)
    baseline_run(things, requester=person)
    execute("UPDATE app.things SET name = 'after' WHERE id = 1")
    names = [
        name
        for (name,) in execute(
            "SELECT name FROM custody.auditing_historycolumn WHERE attnum = 3 ORDER BY id DESC"
        )
    ]
    values = ", ".join(f'h."{name}"::text' for name in names)
    found = execute(
        f"SELECT op, COALESCE({values}, h.rest ->> '3') FROM history.app__things h "
        "WHERE \"1_id\" = 1 AND op <> 'B' ORDER BY seq"
    )
    assert found == [("I", "1.00"), ("U", read), ("U", read)]


def test_a_new_column_with_values_brings_a_baseline_of_them(
    things: TrackedTable, execute: Execute, person: User
) -> None:
    execute("ALTER TABLE app.things ADD COLUMN stock int DEFAULT 4")
    table_sync(things, actor=person)
    execute("UPDATE app.things SET stock = 5 WHERE id = 1")
    run = baseline_run(things, requester=person)
    assert run is not None
    found = execute(
        'SELECT op, "1_id", COALESCE("4_stock", (rest ->> \'4\')::int) FROM history.app__things '
        "ORDER BY seq, 2"
    )
    assert found[2:] == [("B", 1, 4), ("B", 2, 4), ("U", 1, 5)]


def test_without_its_key_a_table_s_writes_still_have_versions(
    things: TrackedTable, execute: Execute, person: User
) -> None:
    execute("ALTER TABLE app.things DROP CONSTRAINT things_pkey")
    if things.guarded:
        table_sync(things, actor=person)
    execute("INSERT INTO app.things VALUES (1, 'twin', 1)")
    execute("UPDATE app.things SET price = price + 1")
    assert any("key" in told for told in problems(things))
    assert sorted(kept(execute, '"2_name"')[3:]) == [("U", "a"), ("U", "b"), ("U", "twin")]
    execute("ALTER TABLE app.things DROP COLUMN id")
    execute("UPDATE app.things SET price = price + 1")
    execute("DELETE FROM app.things")
    assert sorted(kept(execute, '"2_name"')[6:]) == sorted(
        (op, name) for op in "UD" for name in ("a", "b", "twin")
    )


def test_a_dropped_type_takes_nothing_from_the_history(
    following: str, governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TYPE app.colour AS ENUM ('red', 'blue')")
    execute("CREATE DOMAIN app.small AS int CHECK (VALUE < 10)")
    execute("CREATE TYPE app.pair AS (a int, b date)")
    execute("CREATE TABLE app.things (id int PRIMARY KEY, c app.colour, s app.small, p app.pair)")
    table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1, 'red', 3, ROW (1, '2031-02-03'))")
    execute("ALTER TYPE app.colour RENAME VALUE 'red' TO 'crimson'")
    execute("ALTER DOMAIN app.small ADD CHECK (VALUE > 0)")
    execute("UPDATE app.things SET s = 4")
    execute("DROP TYPE app.colour, app.pair CASCADE")
    execute("DROP DOMAIN app.small CASCADE")
    execute("INSERT INTO app.things VALUES (2)")
    assert kept(execute, '"1_id", "2_c", "3_s", "4_p"') == [
        ("I", 1, "red", 3, "(1,2031-02-03)"),
        ("U", 1, "crimson", 4, "(1,2031-02-03)"),
        ("I", 2, None, None, None),
    ]


def test_a_dropped_table_leaves_its_history_and_is_told(
    things: TrackedTable, execute: Execute
) -> None:
    execute("DROP TABLE app.things")
    assert len(kept(execute, '"1_id"')) == 2
    assert "dropped" in problems(things)[0]


def test_a_change_of_columns_is_an_event(
    things: TrackedTable, execute: Execute, person: User
) -> None:
    execute("ALTER TABLE app.things RENAME COLUMN name TO title")
    table_sync(things, actor=person)
    event = AuditEvent.objects.filter(kind="ddl").get()
    assert event.detail == {"renamed": [["name", "title"]]}
    assert event.actor.startswith("db:")


def test_no_write_fails_while_columns_come_and_go(
    things: TrackedTable,
    execute: Execute,
    person: User,
    other_session: Callable[[], psycopg.Connection],
) -> None:
    stop, failures, written = threading.Event(), [], [0, 0, 0]

    def write(number: int, session: psycopg.Connection) -> None:
        first = 1000 * (number + 1)
        while not stop.is_set():
            try:
                key = first + written[number]
                session.execute("INSERT INTO app.things (id, price) VALUES (%s, 1)", [key])
                session.execute("UPDATE app.things SET price = 2 WHERE id = %s", [key])
                written[number] += 1
            except psycopg.Error as error:
                failures.append(error)
                return

    writers = [
        threading.Thread(target=write, args=(number, other_session())) for number in range(3)
    ]
    for writer in writers:
        writer.start()
    for number in range(4):
        execute(f"ALTER TABLE app.things ADD COLUMN extra_{number} text DEFAULT 'x'")
        execute(f"ALTER TABLE app.things RENAME COLUMN extra_{number} TO other_{number}")
        execute(f"ALTER TABLE app.things ALTER other_{number} TYPE varchar(9)")
        if number % 2:
            table_sync(things, actor=person)
            execute(f"ALTER TABLE app.things DROP COLUMN other_{number}")
    stop.set()
    for writer in writers:
        writer.join()
    assert failures == []
    assert all(written)
    lost = execute(
        "SELECT t.id FROM app.things t WHERE t.id >= 1000 AND ("
        'SELECT array_agg(h.op::text || h."3_price" ORDER BY h.seq) FROM history.app__things h '
        "WHERE h.\"1_id\" = t.id AND h.op <> 'B') IS DISTINCT FROM '{I1.00,U2.00}'"
        "AND t.price = 2"
    )
    assert lost == []


def test_the_commands_tell_and_mend_a_drift(
    things: TrackedTable, execute: Execute, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("audit_status", "app.things")
    execute("ALTER TABLE app.things ADD COLUMN colour text")
    with pytest.raises(CommandError) as told:
        call_command("audit_status")
    assert told.value.returncode == 1
    assert "colour" in capsys.readouterr().out
    call_command("audit_sync", "app.things", reason="new column")
    call_command("audit_status")
    connection.close()
