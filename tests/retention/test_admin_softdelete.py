"""Soft delete enabled, changed and disabled by an operator in the console, by a run."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from operations.models import Run
from operations.services.run_execute import run_execute
from operations.services.runs import run_cancel, run_pause, run_resume
from retention.models import SoftDeleteTable
from tests.auditing.reading import text_of
from tests.console import person, signed_in

from .catalogue_state import catalogue_state
from .softdelete_tables import SHOP, Execute, enable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("governed")]
ADD = "/admin/retention/softdeletetable/add/"
FORM = f"{ADD}?table=app.users"
TERMS: dict[str, Any] = {"grace_days": "14"}


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, execute: Execute) -> Client:
    monkeypatch.setattr("retention.admin.softdelete_edit.wake", lambda _run: None)
    execute(SHOP)
    return signed_in(person("otto", role="operator"))


def planned(client: Client, **terms: Any) -> str:
    """The address of the plan that the form leads to."""
    answer = client.post(FORM, {**TERMS, **terms})
    assert answer.status_code == 302, text_of(answer)
    return str(answer["Location"])


def seen(page: Any) -> str:
    found = re.search(r'name="seen" value="(\w+)"', page.content.decode())
    assert found
    return found[1]


def confirmed(client: Client, address: str, **other: str) -> Any:
    given = {"seen": seen(client.get(address)), "confirm": "app.users", "reason": "asked for"}
    return client.post(address, {**given, **other}, follow=True)


def disable_url(name: str = "users") -> str:
    entry = SoftDeleteTable.objects.get(table_name=name)
    return reverse("admin:retention_softdeletetable_disable", args=[entry.pk])


def test_a_table_is_found_and_the_form_says_what_may_go_along(
    operator: Client, execute: Execute
) -> None:
    execute("CREATE TABLE app.keyless (name text)")
    page = operator.get(ADD).content.decode()
    assert f'href="{ADD}?table=app.users"' in page
    assert f'href="{ADD}?table=app.keyless"' not in page
    assert "app.orders" not in text_of(operator.get(ADD, {"q": "user"}))
    shown = text_of(operator.get(FORM))
    for part in (
        "app.addresses user_id to app.users, CASCADE: its rows go along.",
        "user_id to app.users, RESTRICT: its rows keep the record from being deleted",
        "user_id to app.users, NO ACTION: its rows keep the record",
        "users_email_key of app.users (email) stays: a deleted row keeps its value taken.",
        "ON CONFLICT (email) fails from then on",
        "no foreign key can refer to it",
    ):
        assert part in shown
    boxes = re.findall(r'type="checkbox" name="along" value="([^"]+)"', page_of(operator))
    assert sorted(boxes) == ["app.orders", "app.tickets", "app.users"]


def page_of(client: Client) -> str:
    return html.unescape(client.get(FORM).content.decode())


def test_it_is_enabled_as_chosen_by_a_run_after_the_plan_was_shown(
    operator: Client, execute: Execute
) -> None:
    before = catalogue_state(execute)
    address = planned(operator, along="app.orders", unique_active="app.users_email_key")
    shown = text_of(operator.get(address))
    for part in (
        "orders_user_id_fkey to app.users goes along, as decided",
        "cannot be deleted while an active row of these refers to it: app.tickets (user_id).",
        'CREATE INDEX CONCURRENTLY "users_deletion_id_idx"',
        "beside the writers: nobody waits for it",
        "14 days",
    ):
        assert part in shown
    assert "Type app.users" in text_of(confirmed(operator, address, confirm="users"))
    assert "This field is required" in text_of(confirmed(operator, address, reason=""))
    assert (catalogue_state(execute), Run.objects.count()) == (before, 0)

    assert "does it, step by step" in text_of(confirmed(operator, address))
    run = Run.objects.get()
    assert (run.kind, run.subject, run.state) == ("softdelete_change", "app.users", "queued")
    assert not SoftDeleteTable.objects.exists(), "nothing within the request"
    done = run_execute(run_id=run.pk)
    assert (done.state, done.done) == ("succeeded", done.total)
    found = SoftDeleteTable.objects.order_by("id")
    assert [(str(row), row.grace_days, row.enabled_by, row.reason) for row in found] == [
        (f"app.{name}", 14, "console:otto", "asked for")
        for name in ("users", "addresses", "orders", "lines")
    ]
    assert all(row.ready_at for row in found)
    assert [each["name"] for each in found[0].active_unique] == ["users_email_key"]
    execute("SELECT custody.soft_delete('app.users', '5')")
    assert execute("SELECT count(*) FROM app.active_users") == [(4,)]
    page = text_of(operator.get(reverse("admin:operations_run_change", args=[run.pk])))
    assert "app.users: adds deleted_at, deleted_by, deletion_id" in page


def test_a_run_stopped_between_two_steps_goes_on_or_goes_back(
    operator: Client, execute: Execute
) -> None:
    before = catalogue_state(execute)
    confirmed(operator, planned(operator))
    run, otto = Run.objects.get(), Run.objects.get().requester

    def stop(now: Run) -> None:
        if now.done == 2 and now.state == "running":
            run_pause(run_id=run.pk, actor=otto)

    paused = run_execute(run_id=run.pk, on_progress=stop)
    assert (paused.state, paused.done) == ("paused", 2)
    assert not SoftDeleteTable.objects.exclude(ready_at=None).exists()
    run_resume(run_id=run.pk, actor=otto)
    assert run_execute(run_id=run.pk).state == "succeeded"
    assert SoftDeleteTable.objects.exclude(ready_at=None).count() == 2

    confirmed(operator, disable_url())
    back = Run.objects.latest("id")
    done = run_execute(run_id=back.pk)
    assert (done.state, done.done) == ("succeeded", done.total)
    assert catalogue_state(execute) == before
    assert not SoftDeleteTable.objects.filter(disabled_at=None).exists()


def test_terms_of_an_enabled_table_change_and_the_same_again_is_nothing(
    operator: Client, execute: Execute
) -> None:
    enable("app.users", "--grace", "14")
    SoftDeleteTable.objects.filter(table_name="addresses").update(grace_days=90)
    nothing = text_of(operator.get(planned(operator)))
    assert "All of it is so already: there is nothing to do." in nothing
    confirmed(operator, planned(operator, capture_deletes="on"))
    assert run_execute(run_id=Run.objects.get().pk).state == "succeeded"
    found = SoftDeleteTable.objects.values_list("table_name", "grace_days", "capture_deletes")
    # What was not changed in the form stays as it is, of each table.
    assert sorted(found) == [("addresses", 90, True), ("users", 14, True)]
    execute("DELETE FROM app.tickets")
    assert execute("DELETE FROM app.addresses WHERE id = 1 RETURNING id") == [(1,)]
    assert execute("SELECT count(*) FROM app.addresses WHERE deletion_id IS NOT NULL") == [(1,)]


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"grace_days": "0"}, "greater than or equal to 1"),
        ({"grace_days": "40000"}, "less than or equal to 36500"),
        ({"along": "app.nothing"}, "app.nothing is not one of the available choices"),
        ({"unique_active": "app.users_pkey"}, "is not one of the available choices"),
        ({"hide_from": "nobody'; DROP"}, "is not one of the available choices"),
    ],
)
def test_what_is_wrong_is_said_in_the_form(
    operator: Client, terms: dict[str, str], told: str
) -> None:
    assert told in text_of(operator.post(FORM, {**TERMS, **terms}))
    page = reverse("admin:retention_softdeletetable_plan")
    given = {"table": "app.users", **TERMS, **terms}
    assert told in text_of(operator.get(page, given, follow=True))
    assert not Run.objects.exists()


@pytest.mark.parametrize("table", ["app.nothing", "", "a.b.c.d", "custody.operations_run"])
def test_a_table_that_cannot_have_it_is_refused_in_words(operator: Client, table: str) -> None:
    page = reverse("admin:retention_softdeletetable_plan")
    told = text_of(operator.get(page, {"table": table, **TERMS}, follow=True))
    assert ("What is in the way" if table.startswith("custody") else "Which table?") in told
    operator.post(page, {"confirm": table, "reason": "x", "seen": "x"}, follow=True)
    assert not Run.objects.exists()


def test_a_plan_that_is_not_the_one_shown_is_not_done(operator: Client, execute: Execute) -> None:
    address = planned(operator)
    shown = seen(operator.get(address))
    execute("CREATE TABLE app.notes (id int PRIMARY KEY, u int REFERENCES app.users"
            " ON DELETE CASCADE)")  # fmt: skip
    told = text_of(confirmed(operator, address, seen=shown))
    assert "The tables have changed since this plan was shown" in told
    assert not Run.objects.exists()


def test_one_table_after_the_other(operator: Client) -> None:
    address = planned(operator)
    confirmed(operator, address)
    assert "resume or cancel it first" in text_of(confirmed(operator, address))
    other = f"{reverse('admin:retention_softdeletetable_plan')}?table=app.tickets&grace_days=14"
    told = text_of(confirmed(operator, other, confirm="app.tickets"))
    assert "is under way: one table after the other" in told
    run = Run.objects.get()
    run_cancel(run_id=run.pk, actor=run.requester)
    confirmed(operator, other, confirm="app.tickets")
    assert Run.objects.latest("id").subject == "app.tickets"


def test_disabling_says_first_what_is_in_the_bin_and_refuses(
    operator: Client, execute: Execute
) -> None:
    enable("app.users", "--along", "app.orders", "app.tickets")
    execute("SELECT custody.soft_delete('app.users', '5')")
    page = operator.get(disable_url())
    shown = text_of(page)
    assert shown.index("1 row is in the bin of app.users") < shown.index("Steps")
    assert 'id="confirm-form"' not in page.content.decode()
    given = {"seen": "x", "confirm": "app.users", "reason": "enough"}
    operator.post(disable_url(), given, follow=True)
    assert not Run.objects.exists()
    told = text_of(operator.get(disable_url("orders")))
    assert "Rows of app.orders go along with rows of app.users" in told


@pytest.fixture
def owned_by_another(operator: Client, execute: Execute) -> Iterator[None]:
    execute("CREATE ROLE page_owner")
    execute("CREATE ROLE page_console")
    execute("GRANT USAGE, CREATE ON SCHEMA app TO page_owner, page_console")
    for name in ("users", "addresses"):
        execute(f"ALTER TABLE app.{name} OWNER TO page_owner")
    execute("GRANT ALL ON ALL TABLES IN SCHEMA app TO page_console")
    execute("GRANT USAGE ON SCHEMA custody TO page_console")
    execute("GRANT ALL ON ALL TABLES IN SCHEMA custody TO page_console")
    execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA custody TO page_console")
    execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA custody TO page_console")
    yield
    connection.close()
    for role in ("page_console", "page_owner"):
        execute(f"DROP OWNED BY {role} CASCADE")
        execute(f"DROP ROLE {role}")


@pytest.mark.superuser
def test_somebody_elses_table_gets_the_sql_for_its_owner(
    owned_by_another: None, operator: Client, execute: Execute
) -> None:
    address = planned(operator)
    for name in ("start", "end"):
        execute(f"DROP EVENT TRIGGER IF EXISTS custody_softdelete_{name}")
    execute("SET ROLE page_console")
    page = operator.get(address)
    shown = text_of(page)
    assert "Only the owner of app.users may change it: GRANT page_owner TO page_console" in shown
    assert "The console's role is no superuser" in shown
    assert 'id="confirm-form"' not in page.content.decode()
    found = re.search(r'data-copy="([^"]+)"', page.content.decode())
    assert found
    statements = html.unescape(found[1]).splitlines()
    execute("RESET ROLE")
    execute("SET ROLE page_owner")
    for statement in statements:
        execute(statement)
    execute("RESET ROLE")
    execute("SET ROLE page_console")
    assert 'id="confirm-form"' in operator.get(address).content.decode()


def test_others_see_no_buttons_and_get_nothing(operator: Client) -> None:
    enable("app.users")
    entry = SoftDeleteTable.objects.get(table_name="users")
    listed = reverse("admin:retention_softdeletetable_changelist")
    page = reverse("admin:retention_softdeletetable_change", args=[entry.pk])
    plan = f"{reverse('admin:retention_softdeletetable_plan')}?table=app.users&grace_days=7"
    assert ADD in operator.get(listed).content.decode()
    assert disable_url() in operator.get(page).content.decode()
    auditor = signed_in(person("paul", role="auditor"))
    assert ADD not in auditor.get(listed).content.decode()
    shown = auditor.get(page).content.decode()
    assert disable_url() not in shown
    assert ADD not in shown
    for address in (ADD, FORM, plan, disable_url()):
        assert auditor.get(address).status_code == 403
        given = {"confirm": "app.users", "reason": "x", "seen": "x", **TERMS}
        assert auditor.post(address, given).status_code == 403
    assert not Run.objects.exists()


def test_more_rows_and_unrelated_tables_take_no_more_queries(
    operator: Client, execute: Execute
) -> None:
    def asked() -> list[int]:
        counts = []
        for address in (ADD, FORM, planned(operator)):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                operator.get(address)
            counts.append(len(queries))
        return counts

    asked()
    before = asked()
    for number in range(10):
        execute(f"CREATE TABLE app.more_{number} (id int PRIMARY KEY)")
    execute("INSERT INTO app.addresses SELECT n, 1 FROM generate_series(100, 1000) n")
    assert asked() == before
    assert max(before) < 130
