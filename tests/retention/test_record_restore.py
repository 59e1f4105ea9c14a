"""A deletion comes back whole or in part; what is in the way is named, with choices."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from retention.exceptions import DeletionRefused
from retention.models import Deletion, SeveredReference
from retention.selectors.deletions import deletion_get, deletion_rows_now
from retention.services.record_delete import record_delete
from retention.services.record_restore import (
    Choice,
    ChosenRow,
    RestoreConflicts,
    record_restore,
)

from .shop import active, everything, shop_open
from .softdeleting import app

pytestmark = [pytest.mark.sql]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    shop_open(execute)


def delete(name: str, key: str, person: User) -> int:
    deletion = record_delete(table=app(name), record_id=key, actor=person).deletion
    assert deletion is not None
    return deletion.pk


def test_all_is_as_it_was(shop: None, execute: Execute, person: User) -> None:
    before = everything(execute)
    number = delete("customers", "1", person)

    found = record_restore(deletion_id=number, actor=person, reason="the wrong customer")

    assert everything(execute) == before
    assert (found.rows, found.references_back, found.restored_id) == (14, 2, number)
    deletion = deletion_get(number)
    assert (deletion.state, deletion.restored_by) == ("restored", "console:ada")
    assert deletion.restore_reason == "the wrong customer"
    assert deletion_rows_now(deletion) == 0
    assert set(SeveredReference.objects.values_list("outcome", flat=True)) == {"back"}


def test_the_second_person_is_told_who_was_first(shop: None, person: User) -> None:
    number = delete("customers", "1", person)
    record_restore(deletion_id=number, actor=person)

    other = User.objects.create_user("grace")
    with pytest.raises(DeletionRefused, match=rf"Deletion {number} was restored by console:ada"):
        record_restore(deletion_id=number, actor=other)


def test_a_reference_that_somebody_has_set_since_is_left(
    shop: None, execute: Execute, person: User
) -> None:
    number = delete("customers", "1", person)
    execute("UPDATE app.orders SET address_id = 2 WHERE id = 4")

    found = record_restore(deletion_id=number, actor=person)

    assert (found.references_back, found.references_changed) == (1, 1)
    assert execute("SELECT address_id FROM app.orders WHERE id = 4") == [(2,)]


def test_a_row_that_is_gone_has_no_reference_to_put_back(
    shop: None, execute: Execute, person: User
) -> None:
    number = delete("customers", "1", person)
    execute("SELECT custody.softdelete_pass(); DELETE FROM app.orders WHERE id = 4")

    found = record_restore(deletion_id=number, actor=person)

    assert (found.references_back, found.references_gone) == (1, 1)


def test_a_part_brings_along_what_it_needs(shop: None, execute: Execute, person: User) -> None:
    number = delete("customers", "1", person)

    found = record_restore(deletion_id=number, rows=[ChosenRow("app.lines", "2,3")], actor=person)

    assert (active(execute, "customers"), active(execute, "orders")) == ([1, 2], [2, 4])
    assert active(execute, "lines", "order_id, number")[:1] == [(2, 3)]
    # Who was referred is referred again; the address stays in the bin, and so does its order.
    assert execute("SELECT referred_by FROM app.customers WHERE id = 2") == [(1,)]
    assert execute("SELECT address_id FROM app.orders WHERE id = 4") == [(None,)]
    assert found.restored_id is not None
    part, rest = deletion_get(found.restored_id), deletion_get(number)
    assert (part.split_from_id, part.state, part.source) == (number, "restored", "split")
    assert (part.table_name, part.record_id) == ("customers", "1")
    assert (rest.state, deletion_rows_now(rest)) == ("deleted", 11)

    record_restore(deletion_id=number, actor=person)
    assert active(execute, "orders") == [1, 2, 3, 4]
    assert execute("SELECT address_id FROM app.orders WHERE id IN (1, 4) ORDER BY 1") == [(1,)] * 2


def test_with_a_record_comes_what_hangs_on_it_unless_it_is_to_come_alone(
    shop: None, execute: Execute, person: User
) -> None:
    number = delete("customers", "1", person)

    record_restore(
        deletion_id=number,
        rows=[ChosenRow("app.orders", "1"), ChosenRow("app.orders", "2", below=False)],
        actor=person,
    )

    assert active(execute, "lines", "order_id, number")[:3] == [(1, 1), (1, 2), (1, 3)]
    assert active(execute, "orders") == [1, 2, 4]
    # The address of order 1 is still in the bin: its reference comes back with it.
    assert execute("SELECT address_id FROM app.orders WHERE id = 1") == [(None,)]
    record_restore(deletion_id=number, actor=person)
    assert execute("SELECT address_id FROM app.orders WHERE id = 1") == [(1,)]


def test_a_dry_run_knows_what_only_the_commit_would_refuse(
    shop: None, execute: Execute, person: User
) -> None:
    execute(
        "CREATE FUNCTION app.few() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.deleted_at IS NULL AND NEW.id = 3 THEN RAISE EXCEPTION 'three is too many';"
        " END IF; RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER few AFTER UPDATE ON app.orders DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION app.few()"
    )
    number = delete("customers", "1", person)

    for dry_run in (True, False):
        with pytest.raises(DeletionRefused, match=r"three is too many\. Nothing was changed\."):
            record_restore(deletion_id=number, actor=person, dry_run=dry_run)

    assert active(execute, "orders") == [4]


def test_a_value_taken_meanwhile_is_a_conflict_with_choices(
    shop: None, execute: Execute, person: User
) -> None:
    number = delete("customers", "1", person)
    execute("INSERT INTO app.customers VALUES (3, 'a@x.org', 'Ann again')")
    before = everything(execute)

    with pytest.raises(RestoreConflicts, match=r"email 'a@x.org' belongs to 3 now") as error:
        record_restore(deletion_id=number, actor=person)

    [conflict] = error.value.found.conflicts
    assert (conflict.kind, conflict.records, conflict.other) == ("unique", ("1",), "3")
    assert everything(execute) == before
    tried = record_restore(deletion_id=number, actor=person, dry_run=True)
    assert tried.conflicts == (conflict,)

    taken = Choice("app.customers", "1", "set", {"email": "b@x.org"})
    with pytest.raises(RestoreConflicts, match=r"'b@x.org' belongs to 2 now"):
        record_restore(deletion_id=number, choices=[taken], actor=person)
    free = Choice("app.customers", "1", "set", {"email": "ann@x.org"})
    record_restore(deletion_id=number, choices=[free], actor=person)
    assert active(execute, "customers", "id, email") == [
        (1, "ann@x.org"),
        (2, "b@x.org"),
        (3, "a@x.org"),
    ]
    assert active(execute, "orders") == [1, 2, 3, 4]


def test_what_is_skipped_stays_with_all_that_hangs_on_it(
    shop: None, execute: Execute, person: User
) -> None:
    number = delete("customers", "1", person)

    found = record_restore(
        deletion_id=number, choices=[Choice("app.orders", "1", "skip")], actor=person
    )

    assert active(execute, "orders") == [2, 3, 4]
    assert sorted(set(active(execute, "lines", "order_id"))) == [2, 3, 4]
    assert found.left_id is not None
    left = deletion_get(found.left_id)
    assert (left.table_name, left.record_id, deletion_rows_now(left)) == ("orders", "1", 4)
    assert (left.split_from_id, deletion_get(number).state) == (number, "restored")
    record_restore(deletion_id=left.pk, actor=person)
    assert sorted(set(active(execute, "lines", "order_id"))) == [1, 2, 3, 4]


def test_leaving_all_of_it_restores_nothing(shop: None, execute: Execute, person: User) -> None:
    number = delete("customers", "1", person)
    before = everything(execute)
    with pytest.raises(DeletionRefused, match=f"nothing of deletion {number} comes back"):
        record_restore(
            deletion_id=number, choices=[Choice("app.customers", "1", "skip")], actor=person
        )
    assert everything(execute) == before
    assert [(each.pk, each.state) for each in Deletion.objects.all()] == [(number, "deleted")]


def test_a_deleted_parent_is_offered_with_its_deletion(
    shop: None, execute: Execute, person: User
) -> None:
    before = everything(execute)
    first = delete("orders", "1", person)
    second = delete("customers", "1", person)

    with pytest.raises(RestoreConflicts, match=rf"app.customers 1.*deletion {second}"):
        record_restore(deletion_id=first, actor=person)

    found = record_restore(deletion_id=first, parents=True, actor=person)
    assert dict(found.tables) == {"app.orders": 1, "app.lines": 3, "app.customers": 1}
    assert active(execute, "orders") == [1, 4]
    assert deletion_rows_now(deletion_get(second)) == 9
    record_restore(deletion_id=second, actor=person)
    assert everything(execute) == before


def test_a_reference_to_what_stays_deleted_waits_for_it(
    shop: None, execute: Execute, person: User
) -> None:
    before = everything(execute)
    first = delete("orders", "4", person)
    second = delete("customers", "1", person)

    record_restore(deletion_id=first, actor=person)
    assert execute("SELECT address_id FROM app.orders WHERE id = 4") == [(None,)]
    record_restore(deletion_id=second, actor=person)
    assert everything(execute) == before


def test_what_a_value_may_not_be_is_told(shop: None, person: User) -> None:
    number = delete("customers", "1", person)

    for values, message in (
        ({"id": "7"}, "cannot be given another value for id"),
        ({"deleted_at": None}, "cannot be given another value for deleted_at"),
        ({"nothing": "x"}, "cannot be given another value for nothing"),
        ({"referred_by": "x"}, "invalid input syntax for type bigint"),
    ):
        with pytest.raises(DeletionRefused, match=message):
            record_restore(
                deletion_id=number,
                choices=[Choice("app.customers", "1", "set", values)],
                actor=person,
            )
    with pytest.raises(RestoreConflicts, match="null value in column"):
        record_restore(
            deletion_id=number,
            choices=[Choice("app.customers", "1", "set", {"email": None})],
            actor=person,
        )
    with pytest.raises(DeletionRefused, match=r"has no such record of app\.orders"):
        record_restore(deletion_id=number, rows=[ChosenRow("app.orders", "4")], actor=person)
    assert Deletion.objects.get().state == "deleted"


def test_the_application_restores_by_sql(shop: None, execute: Execute) -> None:
    before = everything(execute)
    [(number,)] = execute("SELECT custody.soft_delete('app.customers', '1', 'a test')")

    [(answer,)] = execute("SELECT custody.restore(%s)", [number])

    answer = json.loads(answer) if isinstance(answer, str) else answer
    assert (answer["restored"], answer["severed"]["back"]) == (True, 2)
    assert everything(execute) == before


def test_the_command_tries_and_does(shop: None, execute: Execute, person: User) -> None:
    number = str(delete("customers", "1", person))
    execute("INSERT INTO app.customers VALUES (3, 'a@x.org', 'Ann again')")

    out = io.StringIO()
    with pytest.raises(CommandError, match=r"--skip, --set and --parents") as error:
        call_command("record_restore", number, user="ada", json=True, stdout=out)
    assert error.value.returncode == 3
    [conflict] = json.loads(out.getvalue())["restore"]["conflicts"]
    assert (conflict["columns"], conflict["values"], conflict["other"]) == (
        ["email"],
        ["a@x.org"],
        "3",
    )

    given = [["app.customers", "1", "email=ann@x.org"]]
    out = io.StringIO()
    call_command("record_restore", number, set=given, dry_run=True, user="ada", stdout=out)
    assert "14 rows would come back" in out.getvalue()
    assert active(execute, "customers") == [2, 3]
    out = io.StringIO()
    call_command("record_restore", number, set=given, user="ada", stdout=out)
    assert "14 rows came back" in out.getvalue()
    assert "References put back: 2" in out.getvalue()
    assert active(execute, "customers") == [1, 2, 3]
    with pytest.raises(CommandError, match=r"There is no deletion 999") as error:
        call_command("record_restore", "999", user="ada")
    assert error.value.returncode == 2
    with pytest.raises(CommandError, match="is no COLUMN=VALUE") as error:
        call_command("record_restore", number, set=[["app.customers", "1", "email"]], user="ada")
    assert error.value.returncode == 2
    with pytest.raises(CommandError, match=r"There is no table app\.nothing") as error:
        call_command("record_restore", number, only=[["app.nothing", "1"]], user="ada")
    assert error.value.returncode == 2
