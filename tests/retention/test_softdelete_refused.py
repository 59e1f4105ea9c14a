"""What cannot have soft delete is refused in a sentence that says what to do; nothing changes."""

from __future__ import annotations

import pytest
from django.db import connection

from retention.models import SoftDeleteTable

from .catalogue_state import catalogue_state
from .softdelete_tables import SHOP, Execute, command, enable, refusal

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]

CASES = {
    "no key": (
        "CREATE TABLE app.t (a int)",
        "app.t has no key that tells its rows apart. Give it one: ALTER TABLE app.t ADD COLUMN",
    ),
    "key of a strange type": (
        "CREATE TABLE app.t (a jsonb PRIMARY KEY)",
        "its rows cannot be named one by one. Give it a key of plain types.",
    ),
    "inheriting": (
        (
            "CREATE TABLE app.base (id int PRIMARY KEY);"
            "CREATE TABLE app.t (PRIMARY KEY (id)) INHERITS (app.base)"
        ),
        "app.t takes part in inheritance: a row shows in several tables there.",
    ),
    "inherited": (
        "CREATE TABLE app.t (id int PRIMARY KEY); CREATE TABLE app.heir () INHERITS (app.t)",
        "app.t takes part in inheritance (app.heir)",
    ),
    "a partition": (
        (
            "CREATE TABLE app.whole (id int PRIMARY KEY) PARTITION BY RANGE (id);"
            "CREATE TABLE app.t PARTITION OF app.whole DEFAULT"
        ),
        "app.t is a partition of app.whole: enable soft delete on that",
    ),
    "deleted_by of another type": (
        "CREATE TABLE app.t (id int PRIMARY KEY, deleted_at timestamptz, deleted_by uuid)",
        "app.t has a column deleted_by already, and it is uuid; soft delete needs deleted_by text",
    ),
    "deleted_at with a default": (
        "CREATE TABLE app.t (id int PRIMARY KEY, deleted_at timestamptz DEFAULT now())",
        "it has a default; soft delete needs deleted_at timestamptz",
    ),
    "the name of the view is taken": (
        "CREATE TABLE app.t (id int PRIMARY KEY); CREATE VIEW app.active_t AS SELECT 1 AS one",
        (
            "The view of active rows would be app.active_t, and there is a view of that name: give "
            "it another (ALTER VIEW app.active_t RENAME TO ...)"
        ),
    ),
    "a child that is set to NULL has no key": (
        (
            "CREATE TABLE app.t (id int PRIMARY KEY);"
            "CREATE TABLE app.log (t_id int REFERENCES app.t ON DELETE SET NULL)"
        ),
        "log_t_id_fkey of app.log is set when a row of app.t is deleted, and app.log has no key",
    ),
    "a table below it cannot have it": (
        (
            "CREATE TABLE app.t (id int PRIMARY KEY);"
            "CREATE TABLE app.log (t_id int REFERENCES app.t ON DELETE CASCADE)"
        ),
        "app.log has no key that tells its rows apart",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_with_what_to_do(execute: Execute, case: str) -> None:
    made, told = CASES[case]
    execute(made)
    before = catalogue_state(execute)
    code, said = refusal("softdelete_enable", "app.t")
    assert told in said
    assert code == 3
    assert catalogue_state(execute) == before
    assert not SoftDeleteTable.objects.exists()
    # The plan is shown whole, and says so too.
    assert refusal("softdelete_enable", "app.t", "--dry-run") == (
        3,
        "Something is in the way: nothing can be enabled so.",
    )


def test_all_that_is_in_the_way_is_told_at_once(execute: Execute) -> None:
    execute("CREATE TABLE app.t (deleted_by uuid, deletion_id text)")
    _, told = refusal("softdelete_enable", "app.t")
    assert [part in told for part in ("no key", "deleted_by", "deletion_id")] == [True] * 3


@pytest.mark.parametrize("name", ["custody.retention_deletion", "custody.auth_user"])
def test_the_consoles_own_tables_have_none(execute: Execute, name: str) -> None:
    assert "is the console's own" in refusal("softdelete_enable", name)[1]


def test_a_table_named_in_along_that_refers_to_nothing_here(execute: Execute) -> None:
    execute(SHOP)
    execute("CREATE TABLE app.far (id int PRIMARY KEY)")
    _, told = refusal("softdelete_enable", "app.users", "--along", "app.far")
    assert "app.far refers to none of app.users, app.addresses: leave it out" in told


def test_one_that_is_only_set_to_null_goes_along_when_it_is_named(execute: Execute) -> None:
    execute(SHOP)
    plan = command("softdelete_enable", "app.addresses", "--along", "app.orders", "--dry-run")[
        "plan"
    ]
    assert [each["table"] for each in plan["tables"]] == [
        "app.addresses",
        "app.orders",
        "app.lines",
    ]
    with_users = command("softdelete_enable", "app.users", "--along", "app.orders", "--dry-run")
    meanings = {e["constraint"]: e["meaning"] for e in with_users["plan"]["references"]}
    assert (meanings["orders_user_id_fkey"], meanings["orders_address_id_fkey"]) == (
        "along", "severed",
    )  # fmt: skip


def test_capturing_deletes_wants_every_table_above_that_cascades(execute: Execute) -> None:
    execute(SHOP)
    _, told = refusal("softdelete_enable", "app.addresses", "--capture-deletes")
    assert "softdelete_enable app.users --capture-deletes, which covers app.addresses" in told
    cautions = enable("app.addresses")["cautions"]
    assert any("A DELETE of a row of app.users destroys its rows" in each for each in cautions)


def test_a_key_with_a_period(execute: Execute) -> None:
    if connection.pg_version < 180000:
        pytest.skip("from PostgreSQL 18 on")
    execute(
        "CREATE TABLE app.t (id int4range, during daterange,"
        " PRIMARY KEY (id, during WITHOUT OVERLAPS))"
    )
    assert "app.t has a key with a period (t_pkey)" in refusal("softdelete_enable", "app.t")[1]
