"""Enabling soft delete: what is made, on which tables, again, and under writers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from auditing.models import TrackedTable
from auditing.selectors.images import shape_of
from auditing.selectors.tracked import standings as audit_standings
from auditing.selectors.versions import versions_of
from auditing.services import brief_lock
from auditing.services.track import table_track
from retention.models import SoftDeleteTable
from retention.services import softdelete_steps_do as doing
from retention.services.record_delete import record_delete

from .catalogue_state import catalogue_state
from .softdelete_tables import SHOP, Execute, command, disable, enable, refusal
from .softdeleting import app

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Session = psycopg.Connection[Any]
COLUMNS = [("deleted_at", "timestamptz"), ("deleted_by", "text"), ("deletion_id", "int8")]


def columns(execute: Execute, table: str) -> list[tuple[str, str]]:
    found = execute(
        "SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE a.attrelid = %s::regclass AND a.attname LIKE 'delet%%' ORDER BY 1",
        [table],
    )
    return [(name, kind) for name, kind in found]


def marks(execute: Execute, table: str) -> list[tuple[str, bool]]:
    return execute(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = %s::regclass"
        " AND pg_get_expr(indpred, indrelid) = '(deletion_id IS NOT NULL)' ORDER BY 1",
        [table],
    )


def test_the_table_and_all_that_goes_along_with_it_get_columns_index_and_entry(
    execute: Execute,
) -> None:
    execute(SHOP)
    document = enable("app.users", "--grace", "7", "--along", "app.orders", "--reason", "asked")
    names = ["app.users", "app.addresses", "app.orders", "app.lines"]
    assert [each["table"] for each in document["tables"]] == names
    for name in names:
        assert columns(execute, name) == COLUMNS
        assert marks(execute, name) == [(f"{name}_deletion_id_idx", True)]
    assert columns(execute, "app.tickets") == []
    found = SoftDeleteTable.objects.order_by("id")
    assert [(str(row), str(row.view), row.grace_days, row.along) for row in found] == [
        ("app.users", "app.active_users", 7, [["app", "orders"]]),
        ("app.addresses", "app.active_addresses", 7, []),
        ("app.orders", "app.active_orders", 7, []),
        ("app.lines", "app.active_lines", 7, []),
    ]
    assert all(row.ready_at and row.reason == "asked" for row in found)
    assert {tuple(row.made["columns"]) for row in found} == {
        ("deleted_at", "deleted_by", "deletion_id")
    }


def test_the_plan_has_every_step_with_its_sql_and_changes_nothing(
    execute: Execute, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(SHOP)
    before = catalogue_state(execute)
    call_command("softdelete_enable", "app.users", along=["app.orders"], dry_run=True)
    told = capsys.readouterr().out
    for part in (
        "Soft delete of app.users, and of 3 tables whose rows go along",
        "orders_user_id_fkey to app.users goes along, as decided",
        'ADD COLUMN IF NOT EXISTS "deletion_id" bigint',
        'CREATE INDEX CONCURRENTLY "users_deletion_id_idx"',
        "put back when it is restored: app.users (referred_by).",
        "cannot be deleted while an active row of these refers to it: app.tickets (user_id).",
        "users_email_key of app.users (email) stays: a deleted row keeps its value taken.",
        "Nothing was changed.",
    ):
        assert part in told
    assert catalogue_state(execute) == before
    assert not SoftDeleteTable.objects.exists()


def test_enabled_again_nothing_is_done_and_other_terms_are_taken_over(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users", "--grace", "7")
    before = catalogue_state(execute)
    again = enable("app.users")
    assert (again["steps"], again["softdelete"]["grace_days"]) == (0, 7)
    changed = enable("app.users", "--grace", "90")
    assert changed["softdelete"]["grace_days"] == 90
    assert catalogue_state(execute) == before
    wider = enable("app.users", "--along", "app.orders")
    assert [each["table"] for each in wider["tables"]][2:] == ["app.orders", "app.lines"]
    assert SoftDeleteTable.objects.get(table_name="users").along == [["app", "orders"]]
    # What was decided holds without being said again.
    assert len(enable("app.users")["tables"]) == 4


@pytest.mark.parametrize("lost", ["column", "index"])
def test_what_somebody_took_away_is_made_again(execute: Execute, lost: str) -> None:
    execute(SHOP)
    enable("app.users")
    before = catalogue_state(execute)
    if lost == "index":
        execute("DROP INDEX app.users_deletion_id_idx")
    else:
        execute("ALTER TABLE app.users DROP COLUMN deletion_id CASCADE")
    enable("app.users")
    assert catalogue_state(execute) == before


def test_an_index_that_was_left_half_built_is_built_again(
    execute: Execute, other_session: Callable[[], Session]
) -> None:
    execute(SHOP)
    enable("app.users")
    before = catalogue_state(execute)
    execute("DROP INDEX app.users_deletion_id_idx")
    writer = other_session()
    writer.execute("BEGIN; UPDATE app.users SET name = 'x' WHERE id = 1")
    builder = other_session()
    builder.execute("SET statement_timeout = '50ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        builder.execute(
            "CREATE INDEX CONCURRENTLY users_deletion_id_idx ON app.users (deletion_id)"
            " WHERE deletion_id IS NOT NULL"
        )
    writer.execute("COMMIT")
    assert marks(execute, "app.users") == [("app.users_deletion_id_idx", False)]
    enable("app.users")
    assert catalogue_state(execute) == before


PARTITIONED = """
CREATE TABLE app.events (id int, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.e25 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
    PARTITION BY LIST (id);
CREATE TABLE app.e25_1 PARTITION OF app.e25 FOR VALUES IN (1);
CREATE TABLE app.e25_rest PARTITION OF app.e25 DEFAULT;
CREATE TABLE app.e26 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO app.events SELECT n, '2025-06-01'::date + n * 60, 'x' FROM generate_series(1, 8) n;
"""


def test_a_partitioned_table_has_it_in_every_partition_those_to_come_too(execute: Execute) -> None:
    execute(PARTITIONED)
    before = catalogue_state(execute)
    enable("app.events")
    execute(
        "CREATE TABLE app.e27 PARTITION OF app.events"
        " FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')"
    )
    for leaf in ("app.e25_1", "app.e25_rest", "app.e26", "app.e27", "app.e25", "app.events"):
        assert columns(execute, leaf) == COLUMNS
        assert [valid for _, valid in marks(execute, leaf)] == [True]
    # A trigger of the new partition is made at once, or where no event trigger may be, by now.
    enable("app.events")
    assert enable("app.events")["steps"] == 0
    execute("DROP TABLE app.e27")
    disable("app.events")
    assert catalogue_state(execute) == before


def test_columns_of_the_right_types_are_adopted_and_stay(execute: Execute) -> None:
    execute(SHOP)
    execute("ALTER TABLE app.users ADD deleted_at timestamptz, ADD deleted_by text")
    before = catalogue_state(execute)
    document = enable("app.users")
    assert any("deleted_at of its own" in each for each in document["cautions"])
    assert SoftDeleteTable.objects.get(table_name="users").made["columns"] == ["deletion_id"]
    disable("app.users")
    assert catalogue_state(execute) == before


def test_a_long_transaction_keeps_it_from_nothing_but_itself(
    execute: Execute,
    other_session: Callable[[], Session],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gives up, says so, and goes on when called again; nobody waited for it for long."""
    monkeypatch.setattr(brief_lock, "ATTEMPTS", 2)
    monkeypatch.setattr(brief_lock, "LOCK_SECONDS", 0.2)
    execute(SHOP)
    holder, writer = other_session(), other_session()
    holder.execute("BEGIN; SELECT count(*) FROM app.users")
    code, told = refusal("softdelete_enable", "app.users")
    assert (code, "app.users is in use" in told) == (1, True)
    assert columns(execute, "app.users") == []
    writer.execute("SET statement_timeout = '2s'; UPDATE app.users SET name = 'y'")
    holder.execute("COMMIT")
    enable("app.users")
    assert columns(execute, "app.users") == COLUMNS


def test_two_at_once_come_one_after_the_other(
    execute: Execute, other_session: Callable[[], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(SHOP)
    other = other_session()
    other.execute("SELECT pg_advisory_lock(%s)", [doing._LOCK])
    monkeypatch.setattr(doing, "_WAIT_SECONDS", 0.1)
    code, told = refusal("softdelete_enable", "app.users")
    assert (code, "is being enabled or disabled at this moment: wait" in told) == (3, True)
    assert not SoftDeleteTable.objects.exists()
    other.execute("SELECT pg_advisory_unlock(%s)", [doing._LOCK])
    enable("app.users")


def test_writers_go_on_while_it_is_enabled_and_disabled(
    execute: Execute, other_session: Callable[[], Session]
) -> None:
    execute(SHOP)
    execute("INSERT INTO app.users SELECT n, n || '@b.org' FROM generate_series(100, 30000) n")
    session, ending, longest = other_session(), threading.Event(), [0.0]

    def write() -> None:
        number = 100
        while not ending.is_set():
            number += 1
            began = time.monotonic()
            session.execute("UPDATE app.users SET name = 'w' WHERE id = %s", [number])
            longest[0] = max(longest[0], time.monotonic() - began)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        enable("app.users", "--along", "app.orders", "--unique-active", "users_email_key")
        disable("app.users")
    finally:
        ending.set()
        thread.join()
    assert longest[0] < 2.0


def test_the_document_of_a_plan_tells_what_goes_along_and_what_stays(execute: Execute) -> None:
    execute(SHOP)
    plan = command("softdelete_enable", "app.users", "--along", "app.orders", "--dry-run")["plan"]
    meanings = {each["constraint"]: each["meaning"] for each in plan["references"]}
    assert meanings == {
        "users_referred_by_fkey": "severed",
        "addresses_user_id_fkey": "along",
        "orders_user_id_fkey": "along",
        "orders_address_id_fkey": "severed",
        "lines_order_id_fkey": "along",
        "tickets_user_id_fkey": "refused",
    }
    assert plan["obstacles"] == []


def test_the_history_of_an_audited_table_has_a_place_for_the_new_columns(
    execute: Execute, person: User
) -> None:
    execute(SHOP)
    for name in ("app.users", "app.orders"):
        table_track(name, actor=person, reason="the law")
    enable("app.users", "--along", "app.orders")
    assert [(str(each.tracked), each.problems) for each in audit_standings()] == [
        ("app.orders", []),
        ("app.users", []),
    ]
    record_delete(table=app("users"), record_id="5", actor=person, reason="asked")
    tracked = TrackedTable.objects.get(table_name="users")
    newest = versions_of(tracked, "5", limit=1).versions[0]
    shape = shape_of(tracked)
    told = {column.name: newest.values.get(column.attnum) for column in shape.captured}
    assert told["deleted_by"] == "console:ada"
