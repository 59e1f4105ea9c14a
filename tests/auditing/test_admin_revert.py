"""Reverts in the admin: looked at first, given a reason, done by a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from auditing.models import ChangeStatement, TrackedTable
from auditing.selectors.versions import versions_of
from auditing.services import revert_plan
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import table_track
from operations.models import Run
from operations.services.run_approve import run_approve_and_execute
from operations.services.run_to_end import run_to_end
from tests.console import person as somebody
from tests.console import signed_in

from .reading import text_of

pytestmark = pytest.mark.django_db(transaction=True)
Execute = Callable[..., list[tuple[Any, ...]]]
LOG = "/admin/auditing/changestatement"


@pytest.fixture
def orders(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, status text, note text)")
    tracked = table_track("app.orders", actor=person, reason="test")
    execute("INSERT INTO app.orders SELECT n, 'paid' FROM generate_series(1, 4) n")
    execute(
        "BEGIN; SELECT custody.set_context('4711', 'Because');"
        " UPDATE app.orders SET status = 'refunded' WHERE id < 4;"
        " DELETE FROM app.orders WHERE id = 4; COMMIT"
    )
    statement_summarise()
    return tracked


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Runs that a worker was asked for."""
    found: list[int] = []
    monkeypatch.setattr("auditing.admin.revert.wake", found.append)
    return found


@pytest.fixture
def support() -> Client:
    return signed_in(somebody("sue", role="support"))


def rows(execute: Execute) -> list[tuple[Any, ...]]:
    return execute("SELECT id, status FROM app.orders ORDER BY id")


def test_support_reverts_a_statement_but_for_what_changed_since(
    orders: TrackedTable, execute: Execute, support: Client, woken: list[int]
) -> None:
    execute("UPDATE app.orders SET status = 'shipped' WHERE id = 2")
    statement_summarise()
    update = ChangeStatement.objects.get(operation="U", rows=3)
    assert (
        f"{LOG}/{update.pk}/revert/" in support.get(f"{LOG}/{update.pk}/change/").content.decode()
    )
    page = text_of(support.get(f"{LOG}/{update.pk}/revert/"))
    assert "Revert 3 rows changed in app.orders?" in page
    assert "Would be put back 2 rows" in page
    assert "Stay as they are 1 row" in page
    assert "Not put back app.orders 2" in page
    before = rows(execute)
    assert "This field is required" in text_of(support.post(f"{LOG}/{update.pk}/revert/"))
    assert (rows(execute), Run.objects.count()) == (before, 0)

    answer = support.post(f"{LOG}/{update.pk}/revert/", {"reason": "The wrong parcels."})
    run = Run.objects.get()
    assert answer["Location"] == f"/admin/operations/run/{run.pk}/change/"
    assert woken == [run.pk]
    run_to_end(run=run)
    assert rows(execute) == [(1, "paid"), (2, "shipped"), (3, "paid")]
    shown = text_of(support.get(answer["Location"]))
    assert "Revert of changes of statement" in shown
    assert "The wrong parcels." in shown
    assert "Put back 2 rows" in shown
    assert "Left as they are 1 row" in shown
    newest = versions_of(orders, "1").versions[0]
    assert newest.context is not None
    assert (newest.actor, newest.context.reason) == ("console:sue", "The wrong parcels.")


def test_a_whole_transaction_is_reverted_the_last_statement_first(
    orders: TrackedTable, execute: Execute, support: Client, woken: list[int]
) -> None:
    update = ChangeStatement.objects.get(operation="U")
    address = f"{LOG}/transaction/{update.xid}/revert/"
    assert address in support.get(f"{LOG}/{update.pk}/change/").content.decode()
    page = text_of(support.get(address))
    assert "Revert the whole transaction of 2 statements?" in page
    assert page.index("1 row deleted from app.orders") < page.index("3 rows changed in app.orders")
    assert "Would be put back 4 rows" in page
    support.post(address, {"reason": "All of it."})
    run_to_end(run=Run.objects.get())
    assert rows(execute) == [(n, "paid") for n in range(1, 5)]
    again = text_of(support.get(address))
    assert "No row can be put back as things are" in again


def test_many_rows_wait_for_another_person(
    orders: TrackedTable,
    execute: Execute,
    support: Client,
    woken: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("admin.revert", "services.revert_plan", "services.revert_rehearse"):
        monkeypatch.setattr(f"auditing.{module}.ALONE", 2)
    assert revert_plan.ALONE == 2
    update = ChangeStatement.objects.get(operation="U")
    page = text_of(support.get(f"{LOG}/{update.pk}/revert/"))
    assert "another person has to approve" in page
    done = support.post(f"{LOG}/{update.pk}/revert/", {"reason": "All."}, follow=True)
    assert "waits for another person's approval" in text_of(done)
    assert woken == []
    assert rows(execute)[0] == (1, "refunded")
    run = Run.objects.get()
    officer = somebody("olga", role="officer")
    decide = signed_in(officer).get(f"/admin/operations/run/{run.pk}/decide/approve/")
    assert "Rows 3 rows Of app.orders" in text_of(decide)
    run_to_end(run=run_approve_and_execute(run_id=run.pk, approver=officer, reason="seen"))
    assert rows(execute)[0] == (1, "paid")


def test_too_many_rows_to_look_at_are_not_looked_at(
    orders: TrackedTable, support: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditing.admin.revert.MOST_REHEARSED", 2)
    update = ChangeStatement.objects.get(operation="U")
    assert "not looked for" in text_of(support.get(f"{LOG}/{update.pk}/revert/"))
