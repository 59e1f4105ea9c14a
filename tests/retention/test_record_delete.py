"""A record is deleted with all that hangs on it, and what refers to it otherwise is remembered."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from psycopg import sql

from operations.catalogue.read import table as read_table
from operations.record_ids import record_id
from retention.exceptions import DeletionRefused, SoftDeleteMissing
from retention.models import Deletion, DeletionTable, SeveredReference
from retention.services.record_delete import record_delete

from .holding import place, release
from .shop import SHOP, active, everything, shop_open
from .softdeleting import app, enable, soft_delete

pytestmark = [pytest.mark.sql]

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    shop_open(execute)


def test_what_hangs_on_a_record_goes_along(shop: None, execute: Execute, person: User) -> None:
    found = record_delete(table=app("customers"), record_id="1", actor=person, reason="a mistake")

    assert found.tables == (
        ("app.customers", 0, 1),
        ("app.addresses", 1, 1),
        ("app.orders", 1, 3),
        ("app.lines", 2, 9),
    )
    assert active(execute, "customers") == [2]
    assert active(execute, "orders") == [4]
    assert active(execute, "lines", "order_id, number") == [(4, 1), (4, 2), (4, 3)]
    deletion = Deletion.objects.get()
    assert found.deletion == deletion
    assert (deletion.actor, deletion.reason) == ("console:ada", "a mistake")
    assert deletion.record_id == "1"
    marks = execute("SELECT DISTINCT deleted_by, deletion_id FROM app.lines WHERE order_id < 4")
    assert marks == [("console:ada", deletion.pk)]


def test_what_was_set_to_null_is_remembered(shop: None, execute: Execute, person: User) -> None:
    record_delete(table=app("customers"), record_id="1", actor=person)

    assert execute("SELECT referred_by FROM app.customers WHERE id = 2") == [(None,)]
    assert execute("SELECT address_id FROM app.orders WHERE id = 4") == [(None,)]
    # What went along keeps what it refers to.
    assert execute("SELECT address_id FROM app.orders WHERE id = 1") == [(1,)]
    severed = SeveredReference.objects.values_list("table_name", "record_id", "was", "became")
    assert sorted(severed) == [
        ("customers", "2", {"referred_by": "1"}, {"referred_by": None}),
        ("orders", "4", {"address_id": "1"}, {"address_id": None}),
    ]


def test_a_second_delete_is_refused(shop: None, person: User) -> None:
    record_delete(table=app("customers"), record_id="1", actor=person)

    with pytest.raises(DeletionRefused, match=r"deleted already.*console:ada.*deletion \d+"):
        record_delete(table=app("customers"), record_id="1", actor=person)
    with pytest.raises(DeletionRefused, match="deleted already"):
        record_delete(table=app("lines"), record_id="1,2", actor=person)
    assert Deletion.objects.count() == 1


def test_a_row_that_refers_and_stays_refuses_the_whole(
    shop: None, execute: Execute, person: User
) -> None:
    execute("INSERT INTO app.invoices VALUES (10, 2), (11, 2), (12, 4)")
    before = execute("SELECT * FROM app.orders ORDER BY id")

    with pytest.raises(
        DeletionRefused, match=r"2 rows of app\.invoices refer to it and would stay"
    ):
        record_delete(table=app("customers"), record_id="1", actor=person, reason="why not")

    assert execute("SELECT * FROM app.orders ORDER BY id") == before
    kept = Deletion.objects.get()
    assert (kept.state, kept.reason, kept.record_id) == ("refused", "why not", "1")
    assert [(each["table"], each["rows"], each["records"]) for each in kept.refused] == [
        ("app.invoices", 2, ["10", "11"])
    ]
    assert not DeletionTable.objects.exists()


def test_a_hold_on_what_would_lose_its_reference_refuses(
    shop: None, execute: Execute, person: User
) -> None:
    """Its condition would not see the row any more."""
    place("2031-17", "app.orders", where="address_id = 1 AND customer_id = 2")
    before = everything(execute)
    arguments: dict[str, Any] = {"table": app("customers"), "record_id": "1", "actor": person}

    with pytest.raises(DeletionRefused, match=r"a row of app\.orders.*hold 2031-17 forbids"):
        record_delete(**arguments)

    assert everything(execute) == before
    [entry] = Deletion.objects.get(state="refused").refused
    assert (entry["table"], entry["rows"], entry["held_by"]) == ("app.orders", 1, ["hold 2031-17"])
    assert record_delete(**arguments, dry_run=True).refused[0]["held_by"] == ["hold 2031-17"]
    release("2031-17")
    record_delete(**arguments)


def test_a_hold_on_a_row_in_the_bin_is_in_the_way_of_nothing(
    shop: None, execute: Execute, person: User
) -> None:
    """Such a row keeps its reference: what it refers to is in the bin as well."""
    record_delete(table=app("orders"), record_id="4", actor=person)
    place("2031-17", "app.orders", where="id = 4")

    record_delete(table=app("customers"), record_id="1", actor=person)

    assert execute("SELECT address_id FROM app.orders WHERE id = 4") == [(1,)]
    assert active(execute, "customers") == [2]


def test_a_held_record_can_be_deleted_since_it_stays(shop: None, person: User) -> None:
    place("2031-17", "app.orders", where="customer_id = 1")

    assert record_delete(table=app("orders"), record_id="1", actor=person).rows == 4


def test_rows_that_go_along_need_soft_delete_themselves(
    governed: str, execute: Execute, person: User
) -> None:
    execute(SHOP)
    enable("customers")

    with pytest.raises(DeletionRefused, match=r"3 rows of app\.orders would go along and have no"):
        record_delete(table=app("customers"), record_id="1", actor=person)
    assert execute("SELECT count(*) FROM app.customers WHERE deleted_at IS NULL") == [(2,)]


def test_tables_named_go_along_whatever_their_key_says(
    governed: str, execute: Execute, person: User
) -> None:
    execute(SHOP)
    execute("INSERT INTO app.invoices VALUES (10, 2), (12, 4)")
    for name, along in (("customers", ()), ("addresses", ()), ("orders", ["invoices"])):
        enable(name, along=along)
    enable("lines")
    enable("invoices")

    record_delete(table=app("customers"), record_id="1", actor=person)

    assert execute("SELECT id FROM app.invoices WHERE deleted_at IS NULL") == [(12,)]


def test_a_dry_run_says_it_all_and_changes_nothing(
    shop: None, execute: Execute, person: User
) -> None:
    before = everything(execute)

    found = record_delete(table=app("customers"), record_id="1", actor=person, dry_run=True)

    assert (found.deletion, found.rows) == (None, 14)
    assert [(each.table, each.columns, each.rows) for each in found.severed] == [
        ("app.customers", ("referred_by",), 1),
        ("app.orders", ("address_id",), 1),
    ]
    assert everything(execute) == before
    assert not Deletion.objects.exists()


def test_self_references_go_however_deep(governed: str, execute: Execute, person: User) -> None:
    execute(
        "CREATE TABLE app.folders (id int PRIMARY KEY,"
        " parent_id int REFERENCES app.folders ON DELETE CASCADE);"
        "CREATE TABLE app.files (id int PRIMARY KEY,"
        " folder_id int REFERENCES app.folders ON DELETE CASCADE);"
        "INSERT INTO app.folders SELECT n, nullif(n - 1, 0) FROM generate_series(1, 500) n;"
        "INSERT INTO app.folders VALUES (1000, NULL), (1001, 1000);"
        "INSERT INTO app.files SELECT n, n FROM generate_series(1, 500) n;"
        "INSERT INTO app.files VALUES (1001, 1001)"
    )
    enable("folders")
    enable("files")

    deletion = record_delete(table=app("folders"), record_id="2", actor=person).deletion

    assert execute("SELECT id FROM app.folders WHERE deleted_at IS NULL ORDER BY id") == [
        (1,),
        (1000,),
        (1001,),
    ]
    assert execute("SELECT id FROM app.files WHERE deleted_at IS NULL ORDER BY id") == [
        (1,),
        (1001,),
    ]
    assert sorted(
        DeletionTable.objects.filter(deletion=deletion).values_list("table_name", "deleted")
    ) == [
        ("files", 499),
        ("folders", 499),
    ]


def test_an_application_that_writes_within_a_stricter_snapshot_is_told(
    shop: None, execute: Execute
) -> None:
    with transaction.atomic():
        execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(DatabaseError, match="READ COMMITTED"):
            execute("SELECT custody.soft_delete('app.customers', '1')")
        transaction.set_rollback(True)


def test_a_trigger_that_keeps_a_row_refuses_the_whole(
    shop: None, execute: Execute, person: User
) -> None:
    execute(
        "CREATE FUNCTION app.keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF (OLD.order_id, OLD.number) = (1, 2) THEN RETURN NULL; END IF;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER keep BEFORE UPDATE ON app.lines FOR EACH ROW EXECUTE FUNCTION app.keep()"
    )

    with pytest.raises(
        DeletionRefused, match=r"1 row of app\.lines would stay because of a trigger"
    ):
        record_delete(table=app("customers"), record_id="1", actor=person)
    assert execute("SELECT count(*) FROM app.orders WHERE deleted_at IS NULL") == [(4,)]


def test_triggers_of_the_application_find_what_lies_beside_their_table(
    shop: None, execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.notes (what text);"
        "CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO notes VALUES (tg_op || ' ' || NEW.id); RETURN NEW; END $$;"
        "CREATE TRIGGER note AFTER UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.note()"
    )

    record_delete(table=app("orders"), record_id="3", actor=person)

    assert execute("SELECT what FROM app.notes") == [("UPDATE 3",)]


def test_the_application_deletes_by_sql(shop: None, execute: Execute) -> None:
    with transaction.atomic():
        execute("SELECT custody.set_context('4711', 'asked by telephone')")
        [(number,)] = execute("SELECT custody.soft_delete('app.orders', '1')")

    deletion = Deletion.objects.get(pk=number)
    assert (deletion.actor, deletion.reason, deletion.source) == (
        "app:4711",
        "asked by telephone",
        "function",
    )
    assert execute(
        "SELECT order_id, number FROM app.lines WHERE deletion_id = %s ORDER BY 2", [number]
    ) == [
        (1, 1),
        (1, 2),
        (1, 3),
    ]


def test_record_ids_are_those_of_the_console(governed: str, execute: Execute) -> None:
    execute(
        "CREATE DOMAIN app.code AS numeric(10, 3);"
        "CREATE TYPE app.kind AS ENUM ('big', 'small');"
        "CREATE TABLE app.odd (a app.code, b date, c timestamp, d timestamptz, e bytea, f app.kind,"
        " g uuid, h text, i bool, j inet, PRIMARY KEY (a, b, c, d, e, f, g, h, i, j));"
        "INSERT INTO app.odd VALUES (1.500, '2026-01-02', '2026-01-02 03:04:05.6',"
        " '2026-01-02 03:04:05+02', '\\x00ff', 'small', 'c0489113-342c-4b51-a2d2-7dafc64d442e',"
        " 'a \"quoted\" , text', true, '10.0.0.1/8')"
    )
    table = read_table(app("odd"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT custody.softdelete_record_id('app.odd'::regclass::oid, 't')")
        expression = cursor.fetchone()[0]
        cursor.execute(
            sql.SQL("SELECT {}, {} FROM app.odd t").format(sql.SQL(expression), record_id(table))
        )
        ours, consoles = cursor.fetchone()
    assert ours == consoles
    enable("odd")
    assert soft_delete("odd", tuple(json.loads(ours))).record_id == ours


def test_the_command_says_what_went_and_how_to_bring_it_back(shop: None, person: User) -> None:
    out = io.StringIO()
    call_command("record_delete", "app.customers", "1", user="ada", reason="a mistake", stdout=out)

    number = Deletion.objects.get().pk
    assert f"Deletion {number}: 14 rows went into the bin." in out.getvalue()
    assert f"manage.py record_restore {number}" in out.getvalue()
    out = io.StringIO()
    call_command("deletion_show", str(number), json=True, stdout=out)
    shown = json.loads(out.getvalue())["deletion"]
    assert (shown["deleted_by"], shown["rows"], shown["record"]["email"]) == (
        "console:ada",
        14,
        "a@x.org",
    )
    with pytest.raises(CommandError, match="deleted already") as error:
        call_command("record_delete", "app.customers", "1", user="ada")
    assert error.value.returncode == 3


def test_a_table_without_it_says_how_to_get_it(
    governed: str, execute: Execute, person: User
) -> None:
    execute(SHOP)

    with pytest.raises(SoftDeleteMissing, match=r"softdelete_enable app\.orders"):
        record_delete(table=app("orders"), record_id="1", actor=person)
