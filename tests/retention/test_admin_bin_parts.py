"""Parts of a deletion, parents in another one, deleting from a record's page, tables with a bin."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from auditing.services.track import table_track
from operations.models import Certificate, Run
from operations.services.run_execute import run_execute
from operations.services.runs import run_approve
from retention.models import Deletion, SoftDeleteTable
from retention.services.deletion_purge import DELETION_PURGE
from retention.services.hold_place import ScopeAsked, hold_place
from retention.services.record_delete import record_delete
from tests.console import person, signed_in

from .binning import ADA, BEN, whole
from .softdeleting import app, soft_delete
from .test_admin_bin import LIST, conflict_form, page, told

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def client(sue: User) -> Client:
    return signed_in(sue)


def deleted(name: str, key: object, by: User) -> Deletion:
    found = record_delete(table=app(name), record_id=str(key), actor=by, reason="wrong").deletion
    assert found is not None
    return found


def active(execute: Execute, name: str) -> list[Any]:
    query = f"SELECT * FROM app.{name} WHERE deleted_at IS NULL ORDER BY 1, 2"
    return [row[:2] if name == "lines" else row[0] for row in execute(query)]


def tick(text: str, name: str, key: str) -> str:
    found = re.search(
        rf'name="row" value="([^"]+)" aria-label="Tick {re.escape(f"{name} {key}")}"', text
    )
    assert found, f"{name} {key}"
    return found[1]


def test_one_order_comes_back_with_its_lines_and_its_customer(
    client: Client, sue: User, execute: Execute
) -> None:
    deletion = deleted("customers", ADA, sue)
    address = page(deletion, "restore")
    row = tick(client.get(page(deletion)).text, "app.orders", "502")
    text = told(client.post(address, {"chosen": "yes", "row": row}).text)
    assert "Restore 1 record of this?" in text
    # Its lines hang on it, and it cannot be without its customer. Without its address it can.
    for line in ("app.customers 1", "app.orders 1", "app.lines 4"):
        assert line in text
    assert active(execute, "orders") == [504], "nothing has happened yet"
    given = {"row": row, "asked": "yes", "below": "yes", "confirmed": "yes", "reason": ""}
    answer = client.post(address, given, follow=True)
    part = Deletion.objects.get(split_from=deletion)
    assert answer.redirect_chain[-1][0] == page(part)
    assert active(execute, "orders") == [502, 504]
    assert active(execute, "customers") == [ADA, BEN]
    assert active(execute, "lines") == [(502, 1), (502, 2), (502, 3), (502, 4), (504, 1)]
    origin = told(client.get(page(deletion)).text)
    assert f"Deletion {part.pk} Restored" in origin
    assert "app.lines 11 7 4 in another deletion" in origin


def test_a_whole_table_is_ticked_and_what_hangs_on_it_left(
    client: Client, sue: User, execute: Execute
) -> None:
    deletion = deleted("customers", ADA, sue)
    text = client.get(page(deletion)).text
    oid = SoftDeleteTable.objects.get(table_name="orders").table_oid
    assert f'name="all" value="{oid}"' in text
    given = {"all": str(oid), "asked": "yes", "confirmed": "yes", "reason": ""}
    client.post(page(deletion, "restore"), given)
    assert active(execute, "orders") == [501, 502, 503, 504]
    assert active(execute, "lines") == [(504, 1)]


def test_nothing_ticked_restores_nothing(client: Client, sue: User, execute: Execute) -> None:
    deletion = deleted("customers", ADA, sue)
    gone = whole(execute)
    for more in ({}, {"all": "9" * 5_000}, {"all": "1"}, {"row": "1:2"}, {"row": "x"}):
        given = {"chosen": "yes", **more}
        answer = client.post(page(deletion, "restore"), given, follow=True)
        assert "Nothing was ticked." in told(answer.text), more
    assert whole(execute) == gone


def test_a_parent_in_another_deletion_is_named_and_comes_along_when_it_is_ticked(
    client: Client, sue: User, execute: Execute
) -> None:
    before = whole(execute)
    order = deleted("orders", 504, sue)
    tom = person("tom", role="officer")
    customer = deleted("customers", BEN, tom)
    address = page(order, "restore")
    text = client.get(address).text
    assert f"It refers to app.customers {BEN} (Ben Oni), which tom deleted on" in told(text)
    assert page(customer) in text
    refused = client.post(address, {"asked": "yes", "confirmed": "yes", "reason": ""}).text
    assert "Nothing was restored" in told(refused)
    given = conflict_form(refused) | {"asked": "yes", "parents": "yes"}
    assert "app.customers 1 app.orders 1" in told(client.post(address, given).text)
    client.post(address, {**given, "confirmed": "yes", "reason": ""})
    assert active(execute, "customers") == [ADA, BEN]
    assert whole(execute)["orders"] == before["orders"]


def test_what_is_skipped_stays_in_the_bin_as_a_deletion_of_its_own(
    client: Client, sue: User, execute: Execute
) -> None:
    deletion = soft_delete("customers", ADA, BEN, actor=sue)
    execute("INSERT INTO app.customers (id, name, email) VALUES (9, 'Eve', 'ada@example.org')")
    address = page(deletion, "restore")
    given = conflict_form(client.get(address).text) | {"conflict-0-do": "skip"}
    answer = client.post(address, {**given, "confirmed": "yes", "reason": ""}, follow=True)
    assert "What was skipped stays in the bin as deletion" in told(answer.text)
    assert active(execute, "customers") == [9, BEN]
    assert active(execute, "orders") == [504]


def test_who_leaves_all_of_it_in_the_bin_is_told_that_nothing_comes_back(
    client: Client, sue: User, execute: Execute
) -> None:
    """All of it hangs on the customer."""
    deletion = deleted("customers", ADA, sue)
    execute("INSERT INTO app.customers (id, name, email) VALUES (9, 'Eve', 'ada@example.org')")
    address = page(deletion, "restore")
    given = conflict_form(client.get(address).text) | {"conflict-0-do": "skip", "reason": ""}
    gone = whole(execute)
    for confirmed in ({}, {"confirmed": "yes"}):
        text = client.post(address, {**given, **confirmed}).text
        said = f"With that left in the bin nothing of deletion {deletion.pk} comes back."
        assert said in told(text)
        assert "conflict-0-do" in text, "another choice can be made"
        assert whole(execute) == gone
    assert [each.state for each in Deletion.objects.all()] == ["deleted"]


def test_a_record_is_deleted_from_its_page_after_a_look_and_a_reason(
    client: Client, sue: User, execute: Execute
) -> None:
    tracked = table_track("app.customers", actor=sue, reason="the law")
    execute("UPDATE app.customers SET phone = '1' WHERE id = 4711")
    record = reverse("admin:auditing_trackedtable_record", args=[tracked.pk, str(ADA)])
    text = client.get(record).text
    button = re.search(r'href="([^"]+)" class="c-button c-button-danger"', text)
    assert button
    look = told(client.get(button[1]).text)
    assert "Delete Ada Lovelace?" in look
    for line in ("app.customers 1", "app.addresses 1", "app.orders 3", "app.lines 11"):
        assert line in look
    assert "1 record of app.orders ship_to" in look
    assert not Deletion.objects.exists()
    assert "This field is required" in client.post(button[1], {"reason": ""}).text
    answer = client.post(button[1], {"reason": "The wrong one"}, follow=True)
    deletion = Deletion.objects.get()
    assert answer.redirect_chain[-1][0] == page(deletion)
    assert "16 records are in the bin." in told(answer.text)
    assert (deletion.actor, deletion.reason) == ("console:sue", "The wrong one")
    text = client.get(record).text
    assert "In the bin" in told(text)
    assert page(deletion) in text
    assert "c-button-danger" not in text
    again = client.post(button[1], {"reason": "again"}, follow=True)
    assert "deleted already" in told(again.text) or "in the bin already" in told(again.text)
    done = {"confirmed": "yes", "reason": ""}
    restored = client.post(page(deletion, "restore"), done, follow=True).text
    assert f'href="{record}"' in restored


def test_what_refuses_a_deletion_is_named_and_nothing_is_asked(
    client: Client, sue: User, execute: Execute
) -> None:
    execute("INSERT INTO app.invoices VALUES (77, 502)")
    table = SoftDeleteTable.objects.get(table_name="customers").table_oid
    address = reverse("admin:retention_deletion_record", args=[table, str(ADA)])
    text = client.get(address).text
    assert "1 row of app.invoices (77) refers to it, and would not go along." in told(text)
    assert 'name="reason"' not in text
    assert active(execute, "customers") == [ADA, BEN]


def test_a_refused_attempt_is_in_the_list_with_what_refused_it(
    client: Client, sue: User, execute: Execute
) -> None:
    execute("INSERT INTO app.invoices VALUES (77, 502)")
    table = SoftDeleteTable.objects.get(table_name="customers").table_oid
    address = reverse("admin:retention_deletion_record", args=[table, str(ADA)])
    client.post(address, {"reason": "she asked"})
    attempt = Deletion.objects.get(state="refused")
    text = told(client.get(LIST, {"state": "refused"}).text)
    assert "Ada Lovelace" in text
    assert "she asked" in text
    shown = told(client.get(page(attempt)).text)
    assert "1 record of app.invoices invoices_order_id_fkey" in shown
    assert "They refer to it, and would not go along: 77" in shown
    answer = client.post(page(attempt, "restore"), {"confirmed": "yes", "reason": ""}, follow=True)
    assert "nothing was deleted" in told(answer.text)


def test_a_hold_is_named_and_does_not_keep_from_restoring(
    client: Client, sue: User, execute: Execute
) -> None:
    execute("UPDATE app.customers SET phone = NULL WHERE id = 4711")
    deletion, other = deleted("customers", ADA, sue), deleted("orders", 504, sue)
    hold_place(
        case_id="2031-17",
        reason="The court asked.",
        scopes=[ScopeAsked("app.customers", rows=[str(ADA)])],
        placed_by=sue,
    )
    hold_place(
        case_id="2031-18",
        reason="The court asked.",
        scopes=[ScopeAsked("app.customers", where="phone = '1'")],
        placed_by=sue,
    )
    shown = told(client.get(page(deletion)).text)
    assert "hold 2031-17" in shown
    # She has no telephone, so nobody can say: she is held.
    assert "hold 2031-18" in shown
    assert "Held no" in told(client.get(page(other)).text)
    client.post(page(deletion, "restore"), {"confirmed": "yes", "reason": ""})
    assert active(execute, "customers") == [ADA, BEN]


def test_tables_with_a_bin_say_what_was_made_and_how_much_is_in_it(
    client: Client, sue: User
) -> None:
    deleted("customers", ADA, sue)
    listed = told(client.get(reverse("admin:retention_softdeletetable_changelist")).text)
    assert "app.lines active rows in app.active_lines" in listed
    entry = SoftDeleteTable.objects.get(table_name="lines")
    text = told(client.get(reverse("admin:retention_softdeletetable_change", args=[entry.pk])).text)
    assert "app.active_lines" in text
    assert "In the bin 11 rows" in text
    assert "Grace 30 days" in text
    assert "manage.py softdelete_disable app.lines" in text


def test_an_officer_asks_to_destroy_it_and_another_person_decides(
    client: Client, sue: User, execute: Execute
) -> None:
    deletion = deleted("customers", ADA, sue)
    address = page(deletion, "purge")
    assert client.get(address).status_code == 403
    assert address not in client.get(page(deletion)).text
    grace = person("grace", role="officer")
    officer = signed_in(grace)
    assert address in officer.get(page(deletion)).text
    look = told(officer.get(address).text)
    assert "Destroy Ada Lovelace for ever?" in look
    assert "Destroyed from the bin 16" in look
    assert not Run.objects.filter(kind=DELETION_PURGE).exists()
    answer = officer.post(address, {"reason": "She asked twice."}, follow=True)
    run = Run.objects.get(kind=DELETION_PURGE)
    assert f"{run} waits for another person's approval." in told(answer.text)
    # Its page leads back, and the deletion's page to it.
    assert page(deletion) in answer.text
    assert answer.redirect_chain[-1][0] in officer.get(page(deletion)).text
    assert active(execute, "customers") == [BEN]
    run_approve(run_id=run.pk, approver=person("tom", role="officer"))
    run_execute(run_id=run.pk)
    assert execute("SELECT id FROM app.customers") == [(BEN,)]
    gone = told(officer.get(page(deletion)).text)
    assert "app.lines 11 0 11 destroyed" in gone
    assert "Destroyed just now" in gone
    assert Certificate.objects.get(run=run).number in gone
    assert "For good" in gone
    answer = client.post(page(deletion, "restore"), {"confirmed": "yes", "reason": ""}, follow=True)
    assert answer.status_code == 200
    assert f"Deletion {deletion.pk} was destroyed." in told(answer.text)


def test_a_hold_keeps_it_from_being_asked_for(client: Client, sue: User) -> None:
    deletion = deleted("customers", ADA, sue)
    hold_place(
        case_id="2031-17",
        reason="The court asked.",
        scopes=[ScopeAsked("app.customers", rows=[str(ADA)])],
        placed_by=sue,
    )
    officer = signed_in(person("grace", role="officer"))
    answer = officer.post(page(deletion, "purge"), {"reason": "She asked."}, follow=True)
    assert "stays in the bin" in told(answer.text)
    assert not Run.objects.filter(kind=DELETION_PURGE).exists()


def test_another_site_can_make_nobody_delete_restore_or_destroy(
    sue: User, execute: Execute
) -> None:
    deletion = deleted("customers", ADA, sue)
    before = whole(execute)
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(person("grace", role="officer"))
    table = SoftDeleteTable.objects.get(table_name="customers").table_oid
    given = {"confirmed": "yes", "reason": "because", "q": "ada"}
    for address in (
        page(deletion, "restore"),
        page(deletion, "purge"),
        reverse("admin:retention_deletion_record", args=[table, str(BEN)]),
        LIST,
    ):
        assert careful.post(address, given).status_code == 403, address
    assert whole(execute) == before
    assert not Run.objects.filter(kind=DELETION_PURGE).exists()


def test_the_overview_counts_what_waits_in_the_bin(client: Client, sue: User) -> None:
    deleted("customers", ADA, sue)
    text = told(client.get(reverse("admin:index")).text)
    assert "In the bin 16 next to go in 4 weeks" in text
