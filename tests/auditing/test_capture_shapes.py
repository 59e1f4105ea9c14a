"""Tables of every shape: partitioned, inheriting, with generated columns, keyed in odd ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from auditing.selectors.tracked import standings
from auditing.services.baseline import baseline_run
from auditing.services.sync import table_sync
from auditing.services.track import table_track

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Execute = Callable[..., list[tuple[Any, ...]]]


def kept(execute: Execute, columns: str, history: str = "app__things") -> list[tuple[Any, ...]]:
    return execute(f"SELECT op, {columns} FROM history.{history} ORDER BY seq, 2")


@pytest.fixture
def partitioned(governed: str, execute: Execute) -> None:
    execute(
        "CREATE TABLE app.things (id int, day int, name text, PRIMARY KEY (id, day)) "
        "PARTITION BY RANGE (day)"
    )
    execute("CREATE TABLE app.low PARTITION OF app.things FOR VALUES FROM (0) TO (10)")
    execute(
        "CREATE TABLE app.high PARTITION OF app.things FOR VALUES FROM (10) TO (20) "
        "PARTITION BY RANGE (day)"
    )
    # With its columns in another order, as ATTACH allows.
    execute("CREATE TABLE app.high_1 (name text, gone int, day int NOT NULL, id int NOT NULL)")
    execute("ALTER TABLE app.high_1 DROP COLUMN gone")
    execute("ALTER TABLE app.high ATTACH PARTITION app.high_1 FOR VALUES FROM (10) TO (20)")


def test_changes_of_a_partitioned_table_at_every_level_are_captured_once(
    partitioned: None, execute: Execute, person: User
) -> None:
    table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1, 1, 'root'), (2, 11, 'root')")
    execute("INSERT INTO app.low VALUES (3, 3, 'leaf')")
    execute("INSERT INTO app.high VALUES (4, 14, 'middle')")
    execute("UPDATE app.high_1 SET name = 'leaf' WHERE id = 2")
    execute("DELETE FROM app.high WHERE id = 4")
    assert kept(execute, '"1_id", "2_day", "3_name"') == [
        ("I", 1, 1, "root"),
        ("I", 2, 11, "root"),
        ("I", 3, 3, "leaf"),
        ("I", 4, 14, "middle"),
        ("U", 2, 11, "leaf"),
        ("D", 4, 14, "middle"),
    ]
    execute("TRUNCATE app.things")
    assert sorted(kept(execute, '"1_id"')[6:]) == [("T", 1), ("T", 2), ("T", 3)]


def test_a_row_that_moves_to_another_partition_is_followed(
    partitioned: None, execute: Execute, person: User
) -> None:
    table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1, 1, 'a'), (2, 2, 'b')")
    execute("UPDATE app.things SET day = day + 10")
    assert kept(execute, '"1_id", "2_day", rest::text')[2:] == [
        ("R", 1, 1, r'{"now": "[\"1\",\"11\"]"}'),
        ("R", 2, 2, r'{"now": "[\"2\",\"12\"]"}'),
        ("U", 1, 11, r'{"was": "[\"1\",\"1\"]"}'),
        ("U", 2, 12, r'{"was": "[\"2\",\"2\"]"}'),
    ]


def test_a_new_partition_is_audited_too(partitioned: None, execute: Execute, person: User) -> None:
    tracked = table_track("app.things", actor=person, reason="test")
    execute("CREATE TABLE app.next PARTITION OF app.things FOR VALUES FROM (20) TO (30)")
    execute("CREATE TABLE app.later (LIKE app.things)")
    execute("INSERT INTO app.later VALUES (9, 39, 'before')")
    execute("ALTER TABLE app.things ATTACH PARTITION app.later FOR VALUES FROM (30) TO (40)")
    if tracked.guarded:
        (standing,) = standings(only=tracked)
        assert any("riggers" in told for told in standing.problems)
        table_sync(tracked, actor=person)
    execute("INSERT INTO app.next VALUES (1, 21, 'direct')")
    execute("UPDATE app.later SET name = 'direct'")
    assert kept(execute, '"1_id", "3_name"') == [
        ("B", 9, "before"),
        ("I", 1, "direct"),
        ("U", 9, "direct"),
    ]


def test_after_triggers_were_off_a_baseline_tells_what_became_of_the_rows(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text)")
    tracked = table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1, 'a'), (2, 'b')")
    execute("ALTER TABLE app.things DISABLE TRIGGER custody_audit_update")
    execute("UPDATE app.things SET name = 'unseen' WHERE id = 1")
    if not tracked.guarded:
        # The event trigger had it back at once.
        assert kept(execute, '"1_id", "2_name"')[2:] == [("U", 1, "unseen")]
        return
    (standing,) = standings(only=tracked)
    assert "such changes leave no version" in standing.problems[0]
    assert table_sync(tracked, actor=person).triggers_made == 1
    baseline_run(tracked, requester=person)
    assert kept(execute, '"1_id", "2_name"')[2:] == [("B", 1, "unseen"), ("B", 2, "b")]


def test_a_baseline_of_a_partitioned_table_has_every_leaf(
    partitioned: None, execute: Execute, person: User
) -> None:
    execute("INSERT INTO app.things SELECT n, n % 20, 'x' FROM generate_series(1, 300) n")
    tracked = table_track("app.things", actor=person, reason="test")
    run = baseline_run(tracked, requester=person)
    assert run is not None
    assert (run.state, run.result) == ("succeeded", {"rows": 300})
    assert execute('SELECT count(DISTINCT ("1_id", "2_day")) FROM history.app__things') == [(300,)]


def test_generated_columns_are_kept_where_the_trigger_sees_them(
    governed: str, execute: Execute, person: User
) -> None:
    virtual = connection.pg_version >= 180000
    kind = "VIRTUAL" if virtual else "STORED"
    execute(
        "CREATE TABLE app.things (id int PRIMARY KEY, n int, "
        "s int GENERATED ALWAYS AS (n * 2) STORED, "
        f"v int GENERATED ALWAYS AS (n * 3) {kind})"
    )
    tracked = table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1, 1)")
    execute("UPDATE app.things SET n = 2")
    execute("DELETE FROM app.things")
    assert kept(execute, '"2_n", "3_s"') == [("I", 1, 2), ("U", 2, 4), ("D", 2, 4)]
    names = set(tracked.history_columns.values_list("name", flat=True))
    assert ("4_v" in names) is not virtual


def test_tables_that_inherit_are_captured_each_by_itself(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text)")
    execute("CREATE TABLE app.special (extra int, PRIMARY KEY (id)) INHERITS (app.things)")
    table_track("app.things", actor=person, reason="test")
    table_track("app.special", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1, 'plain'), (3, 'plain')")
    execute("INSERT INTO app.special VALUES (2, 'special', 7)")
    execute("UPDATE app.things SET name = 'all'")
    execute("UPDATE app.things SET id = 5 WHERE id = 1")
    execute("DELETE FROM app.things WHERE id >= 2 AND id < 5")
    assert kept(execute, '"1_id", "2_name", statement > 0') == [
        ("I", 1, "plain", True),
        ("I", 3, "plain", True),
        ("U", 1, "all", True),
        ("U", 3, "all", True),
        ("R", 1, "all", True),
        ("U", 5, "all", True),
        ("D", 3, "all", True),
    ]
    assert kept(execute, '"1_id", "3_extra"', "app__special") == [
        ("I", 2, 7),
        ("U", 2, 7),
        ("D", 2, 7),
    ]
    # The rows of one statement are one statement, though they come one by one.
    assert execute(
        "SELECT count(DISTINCT statement), count(*) FROM history.app__things WHERE op = 'I'"
    ) == [(1, 2)]


def test_a_key_whose_type_changes_goes_on_as_the_same_record(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text)")
    tracked = table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1, 'a')")
    execute("ALTER TABLE app.things ALTER id TYPE bigint")
    execute("UPDATE app.things SET name = 'b'")
    table_sync(tracked, actor=person)
    baseline_run(tracked, requester=person)
    execute("UPDATE app.things SET name = 'c'")
    execute("DELETE FROM app.things WHERE id = 1")
    found = execute(
        'SELECT op, COALESCE("1r2_id"::text, "1_id"::text, rest ->> \'1\'), "2_name" '
        "FROM history.app__things WHERE op <> 'B' ORDER BY seq"
    )
    assert found == [("I", "1", "a"), ("U", "1", "b"), ("U", "1", "c"), ("D", "1", "c")]
    (indexed,) = execute(
        "SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
        "AND a.attnum = i.indkey[0] WHERE i.indrelid = 'history.app__things'::regclass "
        "AND a.attname = '1r2_id' AND i.indisvalid"
    )
    assert indexed == (1,)


def test_a_table_of_a_hundred_columns_is_captured_with_all_its_bits(
    governed: str, execute: Execute, person: User
) -> None:
    columns = ", ".join(f"c{n} int" for n in range(2, 101))
    execute(f"CREATE TABLE app.things (id int PRIMARY KEY, {columns})")
    table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things (id) VALUES (1)")
    execute("UPDATE app.things SET c2 = 1, c62 = 1, c63 = 1, c64 = 1, c100 = 1")
    ((bits,),) = execute("SELECT changed::text FROM history.app__things WHERE op = 'U'")
    assert [n + 1 for n, bit in enumerate(bits) if bit == "1"] == [2, 62, 63, 64, 100]


def test_images_tell_apart_what_only_compares_as_equal(
    governed: str, execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.things (id int PRIMARY KEY, n numeric, i interval, j json, b jsonb, "
        "f float8, c char(5), a numeric[])"
    )
    table_track("app.things", actor=person, reason="test")
    execute(
        "INSERT INTO app.things VALUES (1, 1.0, '1 mon', '{\"a\":1}', '[1.0]', 0, 'x', '{1.0}')"
    )
    for change in (
        "n = 1.00",
        "i = '30 days'",
        "j = '{\"a\": 1}'",
        "b = '[1.00]'",
        "f = '-0'",
        "a = '{1.00}'",
    ):
        execute(f"UPDATE app.things SET {change}")
        execute(f"UPDATE app.things SET {change}")
    assert [
        row[0]
        for row in execute(
            "SELECT changed::text FROM history.app__things WHERE op = 'U' ORDER BY seq"
        )
    ] == ["01000000", "00100000", "00010000", "00001000", "00000100", "00000001"]


def test_nothing_and_not_a_number_differ_from_values_and_not_from_themselves(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE DOMAIN app.title AS varchar(20)")
    execute("CREATE TABLE app.things (id int PRIMARY KEY, n numeric, v varchar(9), t app.title)")
    table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1)")
    for change in (
        "n = 'NaN', v = '', t = ''",
        "n = 'NaN', v = '', t = ''",
        "n = 0, v = 'a ', t = 'b'",
        "n = 0, v = 'a', t = 'B'",
        "n = NULL, v = NULL, t = NULL",
        "n = NULL, v = NULL, t = NULL",
        "n = 'Infinity'",
        "n = 'Infinity'",
    ):
        execute(f"UPDATE app.things SET {change}")
    assert execute(
        'SELECT changed::text, "2_n"::text, "3_v", "4_t" FROM history.app__things'
        " WHERE op = 'U' ORDER BY seq"
    ) == [
        ("0111", "NaN", "", ""),
        ("0111", "0", "a ", "b"),
        ("0011", "0", "a", "B"),
        ("0111", None, None, None),
        ("0100", "Infinity", None, None),
    ]


def test_domains_over_enums_arrays_and_ranges_may_be_values_and_keys(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TYPE app.mood AS ENUM ('sad', 'glad')")
    execute("CREATE DOMAIN app.feeling AS app.mood")
    execute("CREATE DOMAIN app.spans AS int4range")
    execute("CREATE DOMAIN app.many AS int[]")
    execute(
        "CREATE TABLE app.things (k app.feeling, r app.spans, a app.many, v app.feeling, "
        "PRIMARY KEY (k, r, a))"
    )
    table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES ('sad', '[1,3)', '{1}', 'sad')")
    execute("INSERT INTO app.things VALUES ('glad', '[1,3)', '{1}', NULL)")
    execute("UPDATE app.things SET v = 'glad' WHERE v IS NOT NULL")
    execute("UPDATE app.things SET a = '{2}' WHERE v IS NULL")
    execute("DELETE FROM app.things")
    found = kept(execute, '"1_k", "2_r"::text, "3_a"::text, "4_v"')
    assert found[2:5] == [
        ("U", "sad", "[1,3)", "{1}", "glad"),
        ("R", "glad", "[1,3)", "{1}", None),
        ("U", "glad", "[1,3)", "{2}", None),
    ]
    assert sorted(found[5:]) == [
        ("D", "glad", "[1,3)", "{2}", None),
        ("D", "sad", "[1,3)", "{1}", "glad"),
    ]
