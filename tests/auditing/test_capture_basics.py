"""Every committed change of an audited table has its version, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from auditing.models import TrackedTable
from auditing.services.baseline import baseline_run
from auditing.services.track import TrackTerms, table_track

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Execute = Callable[..., list[tuple[Any, ...]]]


def versions(execute: Execute, columns: str = '"1_id", "2_name"', name: str = "") -> Any:
    history = name or "app__things"
    return execute(f'SELECT op, {columns} FROM history."{history}" ORDER BY seq, 2')


@pytest.fixture
def things(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text, price numeric)")
    return table_track("app.things", actor=person, reason="test")


def test_each_kind_of_statement_leaves_its_versions(things: TrackedTable, execute: Execute) -> None:
    execute("INSERT INTO app.things VALUES (1, 'a', 1.0), (2, 'b', 2)")
    execute("UPDATE app.things SET price = 1.00 WHERE id = 1")
    execute("DELETE FROM app.things WHERE id = 2")
    execute("TRUNCATE app.things")
    assert versions(execute, '"1_id", "2_name", "3_price"::text, changed::text') == [
        ("I", 1, "a", "1.0", None),
        ("I", 2, "b", "2", None),
        ("U", 1, "a", "1.00", "001"),
        ("D", 2, "b", "2", None),
        ("T", 1, "a", "1.00", None),
    ]


def test_a_change_that_changes_nothing_leaves_no_version(
    things: TrackedTable, execute: Execute
) -> None:
    execute("INSERT INTO app.things VALUES (1, 'a', 1), (2, NULL, NULL)")
    execute("UPDATE app.things SET name = name, price = price")
    execute("UPDATE app.things SET name = 'x' WHERE false")
    execute("DELETE FROM app.things WHERE false")
    assert [op for op, *_ in versions(execute)] == ["I", "I"]


def test_copy_on_conflict_and_merge_are_captured(things: TrackedTable, execute: Execute) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY app.things FROM STDIN") as copy:
        copy.write_row((1, "a", 1))
        copy.write_row((2, "b", 2))
    execute(
        "INSERT INTO app.things VALUES (2, 'c', 3), (3, 'd', 4) "
        "ON CONFLICT (id) DO UPDATE SET name = excluded.name"
    )
    execute(
        "MERGE INTO app.things t USING (VALUES (1), (2), (9)) AS s (id) ON s.id = t.id "
        "WHEN MATCHED AND t.id = 1 THEN DELETE "
        "WHEN MATCHED THEN UPDATE SET name = 'm' "
        "WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'n', 0)"
    )
    found = versions(execute)
    assert found[:2] == [("I", 1, "a"), ("I", 2, "b")]
    assert sorted(found[2:]) == [
        ("D", 1, "a"),
        ("I", 3, "d"),
        ("I", 9, "n"),
        ("U", 2, "c"),
        ("U", 2, "m"),
    ]


def test_what_is_rolled_back_leaves_nothing_also_to_a_savepoint(
    things: TrackedTable, execute: Execute
) -> None:
    with transaction.atomic():
        execute("INSERT INTO app.things VALUES (1, 'a', 1)")
        savepoint = transaction.savepoint()
        execute("UPDATE app.things SET name = 'never'")
        transaction.savepoint_rollback(savepoint)
        execute("UPDATE app.things SET name = 'b'")
    with transaction.atomic():
        execute("DELETE FROM app.things")
        transaction.set_rollback(True)
    assert versions(execute) == [("I", 1, "a"), ("U", 1, "b")]


def test_who_wrote_from_where_stands_in_the_version(things: TrackedTable, execute: Execute) -> None:
    execute("INSERT INTO app.things VALUES (1, 'a', 1)")
    assert execute(
        "SELECT h.db_user = session_user, h.client IS NOT DISTINCT FROM inet_client_addr(), "
        "now() - at < interval '1 minute', xid > 0, context FROM history.app__things h"
    ) == [(True, True, True, True, None)]


def test_a_changed_key_ends_one_record_and_begins_another(
    things: TrackedTable, execute: Execute
) -> None:
    execute("INSERT INTO app.things SELECT n, 'name ' || n FROM generate_series(1, 3) n")
    # All at once, which PostgreSQL allows where no two rows have a key in between.
    execute("ALTER TABLE app.things DROP CONSTRAINT things_pkey")
    execute("ALTER TABLE app.things ADD PRIMARY KEY (id) DEFERRABLE INITIALLY IMMEDIATE")
    execute("UPDATE app.things SET id = id + 1")
    assert versions(execute, '"1_id", "2_name", rest::text')[3:] == [
        ("R", 1, "name 1", '{"now": "2"}'),
        ("R", 2, "name 2", '{"now": "3"}'),
        ("R", 3, "name 3", '{"now": "4"}'),
        ("U", 2, "name 1", '{"was": "1"}'),
        ("U", 3, "name 2", '{"was": "2"}'),
        ("U", 4, "name 3", '{"was": "3"}'),
    ]


def test_a_key_of_several_columns_with_capitals_quotes_and_percent_signs(
    governed: str, execute: Execute, person: User
) -> None:
    execute(
        'CREATE TABLE app."Odd ""table"" %s" ("Key %" text, "n.o" int, "o" text, "n" jsonb, '
        '"at" timestamptz, "seq" int, "v_at" text, "custody_new" text, '
        'PRIMARY KEY ("n.o", "Key %"))'
    )
    tracked = table_track('app."Odd ""table"" %s"', actor=person, reason="test")
    execute(
        'INSERT INTO app."Odd ""table"" %s" ("Key %", "n.o", "o", "v_at") '
        "VALUES ('a', 1, 'x', 'y'), ('b', 1, 'x', 'y')"
    )
    execute('UPDATE app."Odd ""table"" %s" SET "o" = \'z\', "seq" = 4 WHERE "Key %" = \'b\'')
    execute('UPDATE app."Odd ""table"" %s" SET "Key %" = \'c\' WHERE "Key %" = \'b\'')
    found = versions(
        execute,
        '"1_Key %", "2_n.o", "3_o", changed::text, rest::text',
        tracked.history_name.replace('"', '""'),
    )
    assert found[2:] == [
        ("U", "b", 1, "z", "00100100", None),
        ("R", "b", 1, "z", None, r'{"now": "[\"1\",\"c\"]"}'),
        ("U", "c", 1, "z", "10000000", r'{"was": "[\"1\",\"b\"]"}'),
    ]


def test_masked_excluded_and_significant_columns(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text, secret text, seen int)")
    terms = TrackTerms(exclude=["seen"], mask=["secret"])
    table_track("app.things", actor=person, reason="test", terms=terms)
    execute("INSERT INTO app.things VALUES (1, 'a', 'hush', 1)")
    execute("UPDATE app.things SET seen = 2")
    execute("UPDATE app.things SET secret = 'shh'")
    assert versions(execute, '"1_id", changed::text') == [("I", 1, None), ("U", 1, "001")]
    kept = execute("SELECT h::text FROM history.app__things h")
    assert not any(word in text for (text,) in kept for word in ("hush", "shh"))

    execute("CREATE TABLE app.papers (id int PRIMARY KEY, title text, seen int)")
    table_track("app.papers", actor=person, reason="test", terms=TrackTerms(significant=["title"]))
    execute("INSERT INTO app.papers VALUES (1, 'a', 1)")
    execute("UPDATE app.papers SET seen = 2")
    execute("UPDATE app.papers SET seen = 3, title = 'b'")
    assert versions(execute, '"2_title", "3_seen", changed::text', "app__papers") == [
        ("I", "a", 1, None),
        ("U", "b", 3, "011"),
    ]


def test_cascades_are_captured_on_the_tables_they_reach(
    things: TrackedTable, execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.parts (id int PRIMARY KEY, thing int REFERENCES app.things "
        "ON DELETE CASCADE ON UPDATE CASCADE, spare int REFERENCES app.things ON DELETE SET NULL)"
    )
    table_track("app.parts", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1, 'a', 1), (2, 'b', 1)")
    execute("INSERT INTO app.parts VALUES (10, 1, 2), (11, 2, NULL)")
    execute("UPDATE app.things SET id = 7 WHERE id = 1")
    execute("DELETE FROM app.things WHERE id = 2")
    found = versions(execute, '"1_id", "2_thing", "3_spare"', "app__parts")
    assert found[2] == ("U", 10, 7, 2)
    assert set(found[3:]) == {("D", 11, 2, None), ("U", 10, 7, None)}


def test_a_statement_overtaken_by_its_own_triggers_comes_before_what_they_did(
    things: TrackedTable, execute: Execute
) -> None:
    execute(
        "CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "UPDATE app.things SET name = name || '!' WHERE id = NEW.id AND name NOT LIKE '%!'; "
        "RETURN NULL; END $$"
    )
    execute(
        "CREATE TRIGGER a_touch AFTER INSERT OR UPDATE ON app.things FOR EACH ROW "
        "EXECUTE FUNCTION app.touch()"
    )
    execute("INSERT INTO app.things VALUES (1, 'a', 1), (2, 'b!', 1)")
    execute("UPDATE app.things SET name = 'c' WHERE id = 1")
    of_one = [row for row in versions(execute) if row[1] == 1]
    assert of_one == [("I", 1, "a"), ("U", 1, "a!"), ("U", 1, "c"), ("U", 1, "c!")]
    assert ("I", 2, "b!") in versions(execute)


def test_a_row_that_a_trigger_puts_back_is_there_in_the_end(
    things: TrackedTable, execute: Execute
) -> None:
    execute(
        "CREATE FUNCTION app.back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO app.things VALUES (OLD.id, 'back', 0); RETURN NULL; END $$"
    )
    execute(
        "CREATE TRIGGER a_back AFTER DELETE ON app.things FOR EACH ROW EXECUTE FUNCTION app.back()"
    )
    execute("INSERT INTO app.things VALUES (1, 'a', 1)")
    execute("DELETE FROM app.things")
    assert versions(execute) == [("I", 1, "a"), ("D", 1, "a"), ("I", 1, "back")]


def test_a_baseline_keeps_every_row_that_was_there(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text)")
    execute("INSERT INTO app.things SELECT n, 'name ' || n FROM generate_series(1, 5000) n")
    tracked = table_track("app.things", actor=person, reason="test")
    execute("UPDATE app.things SET name = 'changed' WHERE id = 1")
    execute("DELETE FROM app.things WHERE id = 2")
    execute("INSERT INTO app.things VALUES (6000, 'new')")
    assert versions(execute) == [
        ("B", 1, "name 1"),
        ("B", 2, "name 2"),
        ("U", 1, "changed"),
        ("D", 2, "name 2"),
        ("I", 6000, "new"),
    ]
    run = baseline_run(tracked, requester=person)
    assert run is not None
    assert run.result == {"rows": 4998}
    assert execute(
        'SELECT op, count(*), count(DISTINCT "1_id") FROM history.app__things GROUP BY op '
        "ORDER BY op"
    ) == [("B", 5000, 5000), ("D", 1, 1), ("I", 1, 1), ("U", 1, 1)]
    tracked.refresh_from_db()
    assert tracked.baseline_seq is None
    execute("UPDATE app.things SET name = 'later' WHERE id = 3")
    assert versions(execute)[-1] == ("U", 3, "later")


@pytest.mark.superuser
def test_replica_sessions_are_captured_too_when_the_table_is_ours(
    things: TrackedTable, execute: Execute
) -> None:
    with transaction.atomic():
        execute("SET LOCAL session_replication_role = replica")
        execute("INSERT INTO app.things VALUES (1, 'a', 1)")
    assert versions(execute) == [("I", 1, "a")]


def test_another_role_s_changes_are_captured_whatever_its_search_path_is(
    things: TrackedTable, execute: Execute, other_session: Callable[[], psycopg.Connection]
) -> None:
    # Whose operators and types stand in the way of pg_catalog's.
    session = other_session()
    session.execute("CREATE DOMAIN app.int8 AS text")
    session.execute(
        "CREATE FUNCTION app.wrong(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT false'"
    )
    session.execute("CREATE OPERATOR app.= (FUNCTION = app.wrong, LEFTARG = int, RIGHTARG = int)")
    session.execute("SET search_path = app, pg_catalog")
    session.execute("INSERT INTO things VALUES (1, 'a', 1), (2, 'b', 1)")
    session.execute("UPDATE things SET name = 'c' WHERE things.id OPERATOR(pg_catalog.=) 1")
    session.execute("UPDATE things SET id = 5 WHERE things.id OPERATOR(pg_catalog.=) 2")
    assert [op for op, *_ in versions(execute)] == ["I", "I", "U", "R", "U"]
