"""The demonstration's audit: a day of changes with who and why, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from auditing.models import ChangeStatement, TrackedTable, VersionNote
from auditing.selectors.tracked import standings
from auditing.selectors.versions import versions_of
from config.demo.audited import TABLES, audit_begin, audit_day
from tests.console import person

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def shop(governed: str, execute: Execute) -> Iterator[None]:
    call_command("sample_load", scale=0.02, verbosity=0, stdout=StringIO())
    person("officer", role="officer")
    yield
    connection.close()
    execute("DROP SCHEMA shop CASCADE")


def test_a_day_of_changes_is_made_once_and_is_in_the_log(shop: None) -> None:
    for _ in range(2):
        audit_begin(on_progress=lambda _run: None)
        audit_day()
    assert {str(table) for table in TrackedTable.objects.all()} == set(TABLES)
    assert [each.problems for each in standings()] == [[] for _ in TABLES]
    assert not TrackedTable.objects.filter(baseline_seq__isnull=False).exists()
    told = [
        (str(each.tracked), each.operation, each.actor, each.context and each.context.reason)
        for each in ChangeStatement.objects.order_by("id").select_related("tracked", "context")
    ]
    assert told == [
        ("shop.users", "U", "app:4711", ""),
        ("shop.addresses", "U", "app:4711", ""),
        ("shop.orders", "U", "app:support-maria", "Ticket 4711: the parcels came back"),
        ("shop.users", "U", "app:4723", "Ticket 4713: cannot sign in"),
        ("shop.order_lines", "D", "app:support-maria", "Ticket 4715: ordered twice"),
        ("shop.products", "U", "app:price-import", "Prices of the season"),
        ("shop.documents", "U", "app:support-maria", "Wording agreed with the customer"),
        ("shop.documents", "U", "app:support-maria", "Thirty days, after all"),
        ("shop.documents", "D", "app:support-maria", "Filed twice"),
    ]
    assert ChangeStatement.objects.get(tracked__table_name="orders").rows == 3

    # A document has numbered versions, one with a name, and only of what is significant.
    note = VersionNote.objects.get()
    page = versions_of(note.tracked, note.record_id)
    assert [version.number for version in page.versions] == [3, 2, 1]
    assert page.versions[0].note == note
    assert note.name == "as signed"
    # The tag came by a change of its own, which made no version.
    tags = next(each.attnum for each in page.shape.columns if each.name == "tags")
    assert page.versions[0].values[tags] != page.versions[1].values[tags]
