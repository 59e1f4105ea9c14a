"""The lines of the log, made of what the capture itself wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction

from auditing.models import ChangeStatement, ChangeTransaction
from auditing.services import statement_summarise as module
from auditing.services.baseline import baseline_run
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import TrackTerms, table_track
from auditing.services.untrack import table_untrack

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection[Any]]


def lines() -> list[tuple[str, str, int, list[str]]]:
    """Table, operation, rows and columns of each line, in their order."""
    return [
        (line.tracked.table_name, line.operation, line.rows, line.changed)
        for line in ChangeStatement.objects.order_by("id").select_related("tracked")
    ]


def test_each_statement_is_one_line_however_many_rows_it_changed(
    execute: Execute, person: User
) -> None:
    execute('CREATE TABLE app.orders (id int PRIMARY KEY, "To%tal" int, card text, note text)')
    terms = TrackTerms(mask=["card"], exclude=["note"])
    table_track("app.orders", actor=person, reason="the law", terms=terms)
    execute("INSERT INTO app.orders SELECT n, n, 'c', 'n' FROM generate_series(1, 10000) n")
    execute('UPDATE app.orders SET "To%tal" = 0 WHERE id <= 9000')
    execute(
        "UPDATE app.orders SET card = 'd', \"To%tal\" = CASE id WHEN 1 THEN 1 ELSE 0 END"
        " WHERE id <= 2"
    )
    execute("UPDATE app.orders SET note = 'other'")
    execute('UPDATE app.orders SET "To%tal" = "To%tal"')
    execute("UPDATE app.orders SET id = id + 100000 WHERE id >= 9998")
    execute("DELETE FROM app.orders WHERE id < 10")
    execute("TRUNCATE app.orders")
    execute("TRUNCATE app.orders")
    assert statement_summarise() == 6
    assert lines() == [
        ("orders", "I", 10000, []),
        ("orders", "U", 9000, ["To%tal"]),
        ("orders", "U", 2, ["To%tal", "card"]),
        ("orders", "U", 3, ["id"]),
        ("orders", "D", 9, []),
        ("orders", "T", 9991, []),
    ]
    assert statement_summarise() == 0


def test_a_cascade_and_a_trigger_have_lines_of_their_own_in_one_transaction(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY)")
    execute(
        "CREATE TABLE app.items (id int PRIMARY KEY,"
        " order_id int REFERENCES app.orders ON DELETE CASCADE)"
    )
    for table in ("app.orders", "app.items"):
        table_track(table, actor=person, reason="the law")
    with transaction.atomic():
        execute("SELECT custody.set_context('17', 'asked by phone')")
        execute("INSERT INTO app.orders VALUES (1), (2)")
        execute("INSERT INTO app.items SELECT n, n %% 2 + 1 FROM generate_series(1, 6) n", [])
        execute("DELETE FROM app.orders WHERE id = 1")
    assert statement_summarise() == 4
    assert sorted(lines()) == [
        ("items", "D", 3, []),
        ("items", "I", 6, []),
        ("orders", "D", 1, []),
        ("orders", "I", 2, []),
    ]
    whole = ChangeTransaction.objects.get()
    assert (whole.statements, whole.rows) == (4, 12)
    assert whole.context is not None
    assert (whole.context.reason, whole.context.user_id) == ("asked by phone", "17")
    assert {line.context_id for line in ChangeStatement.objects.all()} == {whole.context_id}
    assert {line.actor for line in ChangeStatement.objects.all()} == {whole.actor}


def test_a_partitioned_table_and_one_that_is_inherited_from(execute: Execute, person: User) -> None:
    execute(
        "CREATE TABLE app.hits (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)"
    )
    for year in (2025, 2026):
        execute(
            f"CREATE TABLE app.hits_{year} PARTITION OF app.hits"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )
    execute("CREATE TABLE app.pets (id int PRIMARY KEY, name text)")
    execute("CREATE TABLE app.dogs (bark text) INHERITS (app.pets)")
    for table in ("app.hits", "app.pets"):
        table_track(table, actor=person, reason="the law")
    execute("INSERT INTO app.hits VALUES (1, '2025-05-05'), (2, '2026-05-05')")
    execute("INSERT INTO app.hits_2026 VALUES (3, '2026-06-06')")
    execute("INSERT INTO app.pets VALUES (1, 'a'), (2, 'b')")
    execute("UPDATE app.pets SET name = 'c'")
    assert statement_summarise() == 4
    assert lines() == [
        ("hits", "I", 2, []),
        ("hits", "I", 1, []),
        ("pets", "I", 2, []),
        ("pets", "U", 2, ["name"]),
    ]


def test_a_baseline_is_nobodys_change(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total int)")
    execute("INSERT INTO app.orders SELECT n, n FROM generate_series(1, 50) n")
    tracked = table_track("app.orders", actor=person, reason="the law")
    execute("UPDATE app.orders SET total = 0 WHERE id <= 3")
    baseline_run(tracked=tracked, requester=person)
    assert statement_summarise() == 1
    assert lines() == [("orders", "U", 3, ["total"])]


def test_columns_that_came_and_went_are_told_by_the_names_they_had(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total int)")
    table_track("app.orders", actor=person, reason="the law")
    execute("INSERT INTO app.orders VALUES (1, 1)")
    execute("UPDATE app.orders SET total = 2")
    execute("ALTER TABLE app.orders RENAME total TO amount")
    execute("UPDATE app.orders SET amount = 3")
    execute("ALTER TABLE app.orders DROP amount")
    execute("ALTER TABLE app.orders ADD note text")
    execute("UPDATE app.orders SET note = 'x'")
    statement_summarise()
    assert [changed for _, operation, _, changed in lines() if operation == "U"] == [
        ["total"],
        ["amount"],
        ["note"],
    ]


def test_what_was_still_open_when_the_audit_ended_has_its_line(
    execute: Execute, person: User, other_session: Connect
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY)")
    execute("CREATE TABLE app.other (id int PRIMARY KEY)")
    tracked = table_track("app.orders", actor=person, reason="the law")
    session = other_session()
    session.execute("INSERT INTO app.orders VALUES (1)")
    table_untrack(tracked, actor=person, reason="enough")
    execute("INSERT INTO app.orders VALUES (2)")
    assert statement_summarise() == 1
    assert lines() == [("orders", "I", 1, [])]


def test_the_command_tells_how_many(
    execute: Execute, person: User, capsys: pytest.CaptureFixture[str]
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY)")
    table_track("app.orders", actor=person, reason="the law")
    execute("INSERT INTO app.orders VALUES (1)")
    call_command("audit_summarise", "--json")
    assert '"statements": 1' in capsys.readouterr().out


@pytest.mark.parametrize("others", [0, 1])
def test_rows_that_are_known_are_not_read_again(
    execute: Execute,
    person: User,
    other_session: Connect,
    monkeypatch: pytest.MonkeyPatch,
    others: int,
) -> None:
    """By the index over ranges of pages: while nobody has analysed them, and while transactions
    that were open at one pass end before the next."""
    # The tests beside this one have transactions open, and ours may be between two of theirs.
    monkeypatch.setattr(module, "NEAR", 0)
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total int)")
    tracked = table_track("app.orders", actor=person, reason="the law")
    leaves = execute(
        "SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE isleaf",
        [str(tracked.history)],
    )
    for (leaf,) in leaves:
        # Its ANALYZE would be counted among what we read.
        execute(f"ALTER TABLE {leaf} SET (autovacuum_enabled = off)")
    # So many that the range which is not full yet has few pages: it is read again and again.
    execute("INSERT INTO app.orders SELECT n, n FROM generate_series(1, 98500) n")
    assert statement_summarise() == 1

    def read() -> int:
        execute("SELECT pg_stat_force_next_flush()")
        return execute(
            "SELECT sum(heap_blks_read + heap_blks_hit)::bigint FROM pg_statio_user_tables"
            " WHERE schemaname = 'history' AND starts_with(relname, %s)",
            [tracked.history_name],
        )[0][0]

    [(pages,)] = execute(
        "SELECT sum(pg_relation_size(relid)) / 8192 FROM pg_partition_tree(%s)",
        [str(tracked.history)],
    )
    sessions = [other_session() for _ in range(others)]
    for _ in range(3):
        for session in sessions:
            session.execute("COMMIT")
            session.execute("BEGIN")
            session.execute("SELECT pg_current_xact_id()")
        # A snapshot names an open transaction once a later one has ended.
        execute("SELECT pg_current_xact_id()")
        before = read()
        assert statement_summarise() == 0
        assert read() - before < pages / 10
