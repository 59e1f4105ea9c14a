"""What an application's migrations do to soft delete: mended by the watch, or told."""

from __future__ import annotations

import pytest

from config.doctor.database import Server
from config.doctor.softdelete import check_softdelete
from operations.models import Alert
from retention.models import SoftDeleteTable
from retention.services.softdelete_events import softdelete_event_triggers_drop
from retention.services.softdelete_watch import softdelete_watch
from tests import environment

from .catalogue_state import catalogue_state
from .softdelete_tables import SHOP, Execute, command, enable

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]


def alerts() -> list[tuple[str, str]]:
    return list(
        Alert.objects.filter(resolved_at=None).order_by("summary").values_list("summary", "remedy")
    )


def doctor() -> list[tuple[bool | None, str]]:
    return [(finding.ok, finding.detail) for finding in check_softdelete(Server())]


def well(tables: int) -> tuple[bool | None, str]:
    """What the doctor says of so many that are well, with event triggers and without."""
    if environment.is_plain():
        told = "and no event trigger lets their views follow migrations"
        return None, f"All is there of {tables} tables, {told}"
    return True, f"The views, guards and indexes of all {tables} tables are there"


def test_a_table_that_is_well_is_left_alone(execute: Execute) -> None:
    assert doctor() == [(None, "No table has it yet")]
    execute(SHOP)
    enable("app.users", "--along", "app.orders")
    before = catalogue_state(execute)
    assert softdelete_watch() == []
    assert alerts() == []
    assert catalogue_state(execute) == before
    assert doctor() == [well(4)]


def test_what_a_migration_dropped_is_made_again(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users")
    before = catalogue_state(execute)
    execute("DROP INDEX app.users_deletion_id_idx")
    assert doctor() == [
        (
            False,
            (
                "The index on deletion_id of app.users is missing: "
                "manage.py softdelete_enable app.users"
            ),
        )
    ]
    assert [str(name) for name in softdelete_watch()] == ["app.users"]
    assert catalogue_state(execute) == before
    assert alerts() == []


def test_a_new_table_whose_rows_go_along_is_told_until_it_is_enabled(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users")
    execute(
        "CREATE TABLE app.notes (id int PRIMARY KEY,"
        " user_id int REFERENCES app.users ON DELETE CASCADE)"
    )
    softdelete_watch()
    [(summary, remedy)] = alerts()
    assert summary == "Soft delete of app.users needs attention."
    assert "app.notes has no soft delete, and its rows go along with those of app.users" in remedy
    assert "manage.py softdelete_enable app.users" in remedy
    assert doctor() == [(False, remedy)]
    enable("app.users")
    softdelete_watch()
    assert alerts() == []
    assert doctor() == [well(3)]


def test_a_lost_column_and_a_lost_table_are_told(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users")
    execute("ALTER TABLE app.users DROP COLUMN deletion_id CASCADE")
    execute("DROP TABLE app.addresses CASCADE")
    assert softdelete_watch() == []
    told = dict(alerts())
    assert (
        "has lost its column deletion_id: manage.py softdelete_enable app.users makes it"
        in (told["Soft delete of app.users needs attention."])
    )
    assert (
        "is not there any more: manage.py softdelete_disable app.addresses"
        in (told["Soft delete of app.addresses needs attention."])
    )


def test_an_interrupted_change_is_told_with_the_command_that_ends_it(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users")
    SoftDeleteTable.objects.filter(table_name="users").update(ready_at=None)
    softdelete_watch()
    assert alerts() == [
        (
            "Soft delete of app.users needs attention.",
            "A change of app.users was interrupted: manage.py softdelete_enable app.users",
        )
    ]
    enable("app.users")
    softdelete_watch()
    assert alerts() == []


@pytest.mark.parametrize("by_itself", [True, False])
def test_a_new_name_is_followed_by_the_registry_and_by_what_was_decided(
    execute: Execute, by_itself: bool
) -> None:
    """By event triggers in the same moment, or without them by the next look."""
    execute(SHOP)
    enable("app.users", "--along", "app.orders")
    if not by_itself:
        softdelete_event_triggers_drop(using="default")
    execute("ALTER TABLE app.orders RENAME TO purchases")
    softdelete_watch()
    assert alerts() == []
    found = {str(row): row.along for row in SoftDeleteTable.objects.all()}
    assert found == {
        "app.users": [["app", "purchases"]],
        "app.addresses": [],
        "app.purchases": [],
        "app.lines": [],
    }


def test_in_a_restored_database_the_tables_are_found_again_with_their_deletions(
    execute: Execute,
) -> None:
    """Every table has another number there, and some have one that another had."""
    execute(SHOP)
    enable("app.users", "--along", "app.orders")
    deletion = command("record_delete", "app.users", "3")["deletion"]["id"]
    before = catalogue_state(execute)
    now = dict(
        execute(
            "SELECT relname, oid::int8 FROM pg_class"
            " WHERE relnamespace = 'app'::regnamespace AND relkind = 'r'"
        )
    )
    ring = ["users", "addresses", "orders", "lines"]
    # Each has the number of the one after it, one a number of nothing.
    was = dict(zip(ring, [now[name] for name in ring[1:]] + [99], strict=True))
    for table in ("softdeletetable", "deletion", "deletiontable", "severedreference"):
        for name in reversed(ring):
            execute(
                f"UPDATE custody.retention_{table} SET table_oid = -%s WHERE table_name = %s",
                [was[name], name],
            )
        execute(f"UPDATE custody.retention_{table} SET table_oid = -table_oid WHERE table_oid < 0")
    softdelete_watch()
    assert alerts() == []
    found = {row.table_name: row.table_oid for row in SoftDeleteTable.objects.all()}
    assert found == {name: now[name] for name in ring}
    command("record_restore", str(deletion))
    assert execute("SELECT count(*) FROM app.users WHERE deletion_id IS NOT NULL") == [(0,)]
    assert catalogue_state(execute) == before


def test_views_guards_and_policies_too(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users", "--along", "app.orders", "--capture-deletes")
    before = catalogue_state(execute)
    execute("DROP VIEW app.active_users")
    [(trigger,)] = execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'app.addresses'::regclass"
        " AND tgname LIKE 'custody_softdelete_insert_%'"
    )
    execute(f"DROP TRIGGER {trigger} ON app.addresses")
    told = " ".join(detail for _, detail in doctor())
    assert "The view app.active_users, or a column of it, of app.users is missing" in told
    assert f"The trigger {trigger} of app.addresses is missing" in told
    softdelete_watch()
    assert catalogue_state(execute) == before
    execute(f"ALTER TABLE app.addresses DISABLE TRIGGER {trigger}")
    softdelete_watch()
    assert any(f"{trigger} of app.addresses is switched off" in remedy for _, remedy in alerts())
    execute(f"ALTER TABLE app.addresses ENABLE TRIGGER {trigger}")
    softdelete_watch()
    assert alerts() == []
    assert catalogue_state(execute) == before
