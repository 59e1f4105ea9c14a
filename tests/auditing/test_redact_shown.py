"""What was redacted is said to be, and is never put back as if it had been empty."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from auditing.admin.record_links import record_url
from auditing.models import ChangeStatement, TrackedTable
from auditing.selectors.versions import versions_of
from auditing.services.change_revert import change_revert
from auditing.services.record_restore import record_restore
from auditing.services.revert_plan import Chosen
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import table_track
from tests.console import person as someone
from tests.console import signed_in

from .reading import text_of
from .redacting import redacted

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def people(execute: Execute, person: User) -> TrackedTable:
    """One record with an address, then another name, then another address after the redaction."""
    execute("CREATE TABLE app.people (id int PRIMARY KEY, email text, name text)")
    tracked = table_track("app.people", actor=person, reason="the law")
    execute("INSERT INTO app.people VALUES (1, 'a@b.example', 'Ann'), (2, NULL, 'Bob')")
    execute("UPDATE app.people SET name = 'Anne' WHERE id = 1")
    redacted(person, "app.people", "email", keys=("1",))
    execute("UPDATE app.people SET email = 'new@b.example' WHERE id = 1")
    return tracked


def told(*arguments: Any) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_versions_say_which_columns_were_redacted(people: TrackedTable) -> None:
    newest, middle, oldest = versions_of(people, "1").versions
    assert (newest.redacted, newest.values[2]) == (frozenset(), "new@b.example")
    assert middle.redacted == oldest.redacted == {2}
    assert (2 in middle.values, middle.values[3]) == (False, "Anne")
    [other] = versions_of(people, "2").versions
    assert (other.redacted, other.values[2]) == (frozenset(), None)
    document = json.loads(told("audit_history", "app.people", "1", "--json"))
    assert [each["redacted"] for each in document["versions"]] == [[], ["email"], ["email"]]
    compared = told("audit_history", "app.people", "1", "--compare", "2", "3")
    assert compared.split()[-3:] == ["email", "(redacted)", "new@b.example"]
    alike = told("audit_history", "app.people", "1", "--compare", "1", "2")
    assert "email" not in alike


def test_the_record_page_says_so(people: TrackedTable) -> None:
    client = signed_in(someone("carl", role="auditor"))
    version = versions_of(people, "1").versions[1]
    page = client.get(record_url(people, "1", "record"), {"version": version.seq})
    assert "redacted: destroyed" in text_of(page)


def test_a_restore_leaves_such_a_column_as_it_is(
    execute: Execute, people: TrackedTable, person: User
) -> None:
    restored = record_restore(tracked=people, record_id="1", number=1, actor=person)
    assert execute("SELECT * FROM app.people WHERE id = 1") == [(1, "new@b.example", "Ann")]
    assert any("email was redacted" in note for note in restored.notes)


def test_a_revert_does_not_make_it_null(
    execute: Execute, people: TrackedTable, person: User
) -> None:
    statement_summarise()
    last = ChangeStatement.objects.filter(operation="U").order_by("-id").first()
    assert last is not None
    run = change_revert(chosen=Chosen(last.pk, None), requester=person, reason="wrong")
    assert run.result["reverted"] == 0
    assert run.result["conflicts"][0]["why"] == "redacted, so not known any more: email"
    assert execute("SELECT email FROM app.people WHERE id = 1") == [("new@b.example",)]
