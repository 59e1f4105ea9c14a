"""ON DELETE SET DEFAULT, where the default leads to the very record that is deleted."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from retention.exceptions import DeletionRefused
from retention.models import Deletion
from retention.services.record_delete import record_delete
from retention.services.record_restore import RestoreConflicts, record_restore

from .shielding import refused
from .softdelete_tables import Execute
from .softdeleting import app, enable

pytestmark = [pytest.mark.sql]


@pytest.fixture
def notes(governed: str, execute: Execute) -> None:
    """Note 1 is user 1's; note 2 is that of user 0, to whom notes fall."""
    execute(
        "CREATE TABLE app.users (id int PRIMARY KEY); INSERT INTO app.users VALUES (0), (1);"
        "CREATE TABLE app.notes (id int PRIMARY KEY, by_id int DEFAULT 0 CONSTRAINT notes_by_fkey"
        " REFERENCES app.users ON DELETE SET DEFAULT); INSERT INTO app.notes VALUES (1, 1), (2, 0)"
    )


def active(execute: Execute, name: str) -> list[Any]:
    return [row[0] for row in execute(f"SELECT id FROM app.active_{name} ORDER BY 1")]


def test_who_is_the_default_is_not_deleted_while_rows_are_theirs(
    notes: None, execute: Execute, person: User
) -> None:
    enable("users")
    with pytest.raises(DeletionRefused, match=r"1 row of app\.notes refer to it by default"):
        record_delete(table=app("users"), record_id="0", actor=person)
    assert Deletion.objects.get().refused == [
        {
            "table": "app.notes",
            "constraint": "notes_by_fkey",
            "rows": 1,
            "more": False,
            "records": ["2"],
            "meaning": "severed",
            "enabled": False,
        }
    ]
    assert active(execute, "users") == [0, 1]
    # As PostgreSQL refuses its DELETE; of user 1 both take the note's owner away.
    record_delete(table=app("users"), record_id="1", actor=person)
    assert execute("SELECT * FROM app.notes ORDER BY id") == [(1, 0), (2, 0)]


def test_a_captured_delete_of_the_default_is_refused_as_ever(notes: None, execute: Execute) -> None:
    enable("users", capture=True)
    error = refused(execute, "DELETE FROM app.users WHERE id = 0")
    assert error.sqlstate == "23503"
    assert error.diag.constraint_name == "notes_by_fkey"
    assert active(execute, "users") == [0, 1]
    execute("DELETE FROM app.notes WHERE id = 2; DELETE FROM app.users WHERE id = 0")
    assert active(execute, "users") == [1]


def test_a_row_does_not_come_back_to_a_default_that_is_in_the_bin(
    notes: None, execute: Execute, person: User
) -> None:
    enable("notes")
    enable("users")
    note = record_delete(table=app("notes"), record_id="2", actor=person).deletion
    user = record_delete(table=app("users"), record_id="0", actor=person).deletion
    assert note is not None
    assert user is not None
    with pytest.raises(RestoreConflicts) as conflict:
        record_restore(deletion_id=note.pk, actor=person)
    assert [(one.kind, one.parent_record) for one in conflict.value.found.conflicts] == [
        ("parent", "0")
    ]
    record_restore(deletion_id=note.pk, parents=True, actor=person)
    assert (active(execute, "users"), active(execute, "notes")) == ([0, 1], [1, 2])
    assert execute("SELECT by_id FROM app.notes WHERE id = 2") == [(0,)]
