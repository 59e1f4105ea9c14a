"""Disabling soft delete: what was added goes, and nothing else; refused while it would lose."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from retention.models import Deletion, SoftDeleteTable
from retention.services import softdelete_steps_do as doing
from retention.services.softdelete_disable import softdelete_disable

from .catalogue_state import catalogue_state
from .softdelete_tables import SHOP, Execute, command, disable, enable, refusal

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]


def enabled() -> list[str]:
    """Those that have soft delete now, all of it."""
    found = SoftDeleteTable.objects.filter(disabled_at=None).order_by("id")
    assert all(row.ready_at for row in found)
    return [str(row) for row in found]


def test_the_schema_is_again_what_it_was(execute: Execute) -> None:
    execute(SHOP)
    before = catalogue_state(execute)
    enable("app.users", "--along", "app.orders", "--unique-active", "users_email_key")
    assert catalogue_state(execute) != before
    document = disable("app.users")
    assert catalogue_state(execute) == before
    assert len(document["tables"]) == 4
    assert enabled() == []
    enable("app.users")
    assert enabled() == ["app.users", "app.addresses"]


def test_the_plan_shows_every_step_and_changes_nothing(
    execute: Execute, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(SHOP)
    enable("app.users", "--unique-active", "users_email_key")
    before = catalogue_state(execute)
    capsys.readouterr()
    call_command("softdelete_disable", "app.users", dry_run=True)
    told = capsys.readouterr().out
    for part in (
        "With it that of app.addresses, which had it for its sake only.",
        "as it was: UNIQUE (email)",
        'DROP COLUMN "deleted_at", DROP COLUMN "deleted_by", DROP COLUMN "deletion_id"',
        "Nothing was changed.",
    ):
        assert part in told
    assert catalogue_state(execute) == before
    assert enabled() == ["app.users", "app.addresses"]


def test_rows_in_the_bin_keep_it_from_being_disabled(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users")
    command("record_delete", "app.addresses", "7")
    before = catalogue_state(execute)
    code, told = refusal("softdelete_disable", "app.users")
    assert (code, "1 row is in the bin of app.addresses: restore" in told) == (3, True)
    assert catalogue_state(execute) == before
    call_command("record_restore", str(_deletion()), verbosity=0)
    disable("app.users")
    assert enabled() == []


def _deletion() -> int:
    return Deletion.objects.get().pk


def test_a_row_that_goes_into_the_bin_at_that_moment_is_not_lost(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the plan was made: it is looked for again when the table is locked."""
    execute(SHOP)
    enable("app.users")
    original = doing.step_do
    first: list[Any] = []

    def delete_then(step: Any, row: Any, *, using: str) -> None:
        if not first:
            first.append(step)
            command("record_delete", "app.addresses", "7")
        original(step, row, using=using)

    monkeypatch.setattr("retention.services.softdelete_disable.step_do", delete_then)
    with pytest.raises(Exception, match="went into the bin at this moment"):
        softdelete_disable("app.users")
    assert execute("SELECT count(*) FROM app.addresses WHERE deletion_id IS NOT NULL") == [(1,)]
    monkeypatch.undo()
    enable("app.users")
    call_command("record_restore", str(_deletion()), verbosity=0)
    disable("app.users")


def test_a_table_that_goes_along_with_another_keeps_it_as_long_as_that_does(
    execute: Execute,
) -> None:
    execute(SHOP)
    enable("app.orders")
    enable("app.users", "--along", "app.orders")
    for child, parent in (("addresses", "users"), ("orders", "users"), ("lines", "orders")):
        code, told = refusal("softdelete_disable", f"app.{child}")
        assert code == 3
        assert f"Rows of app.{child} go along with rows of app.{parent}" in told
    # Orders were asked for by name: they and what hangs on them keep it.
    disable("app.users")
    assert enabled() == ["app.orders", "app.lines"]
    disable("app.orders")
    assert enabled() == []


def test_what_others_made_of_the_columns_is_named_first(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users")
    execute("CREATE VIEW app.gone AS SELECT id FROM app.users WHERE deleted_at IS NOT NULL")
    execute("CREATE INDEX mine ON app.users (name) WHERE deleted_at IS NULL")
    before = catalogue_state(execute)
    _, told = refusal("softdelete_disable", "app.users")
    assert "used by view app.gone: drop it" in told
    assert "used by index app.mine: drop it" in told
    assert catalogue_state(execute) == before
    execute("DROP VIEW app.gone; DROP INDEX app.mine")
    disable("app.users")


def test_a_table_that_was_dropped_or_renamed(execute: Execute) -> None:
    execute(SHOP)
    enable("app.users")
    execute("ALTER TABLE app.addresses RENAME TO places")
    execute("DROP TABLE app.lines, app.orders, app.tickets")
    execute("DROP TABLE app.users CASCADE")
    disable("app.users")
    assert not SoftDeleteTable.objects.filter(table_name="users", disabled_at=None).exists()
    disable("app.places")
    assert SoftDeleteTable.objects.filter(disabled_at=None).count() == 0
    assert execute(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'app.places'::regclass"
        " AND attname LIKE 'dele%'"
    ) == [(0,)]


def test_a_table_without_it_is_told_so(execute: Execute) -> None:
    execute(SHOP)
    assert refusal("softdelete_disable", "app.users") == (2, "app.users has no soft delete.")
