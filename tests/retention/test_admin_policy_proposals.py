"""An officer makes and changes policies in the browser: what they fill in is what is proposed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client

from operations.models import Run
from operations.runs.states import RunState
from retention.models import RetentionPolicy
from retention.services.policy_terms import PolicyTerms
from tests.console import PASSWORD, make_policy, person, signed_in
from tests.retention.proposing import (
    NEW,
    OPEN_STAYS,
    given,
    make_tickets,
    officer,
    propose,
    review,
    url,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Iterator[Client]:
    make_tickets()
    yield officer()
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA desk CASCADE")


@pytest.fixture
def policy(client: Client) -> RetentionPolicy:
    """In force, for 90 days."""
    return make_policy(
        "tickets",
        schema_name="desk",
        table_name="tickets",
        age_column="closed_at",
        keep_hours=90 * 24,
    )


def fields(policy: RetentionPolicy) -> dict[str, object]:
    return PolicyTerms.of(policy).to_json()


def errors(client: Client, address: str = NEW, **more: object) -> dict[str, list[str]]:
    answer = client.post(address, given(**more))
    assert answer.status_code == 200
    return dict(answer.context["form"].errors)


def test_tables_are_found_by_name_with_their_size_and_their_policy(client: Client) -> None:
    make_policy("notes", schema_name="desk", table_name="notes", keep_hours=None, age_column="")
    text = client.get(url("add")).text
    assert "?table=desk.tickets" in text
    assert "about 30 rows" in text
    assert "?table=desk.notes" not in text, "it has a policy"
    assert "change notes" in text
    found = client.get(url("add"), {"q": "TICK"}).text
    assert "desk.tickets" in found
    assert "desk.unrelated" not in found


def test_only_columns_that_tell_an_age_are_offered(client: Client) -> None:
    choices = client.get(NEW).context["form"]["age_column"].field.choices
    assert [name for name, _ in choices] == ["", "closed_at", "opened_on", "valid"]
    assert dict(choices)["valid"] == "valid (daterange): its upper bound"


def test_tables_that_refer_to_it_are_offered_with_what_happens_otherwise(client: Client) -> None:
    around = [each for each, _, _ in client.get(NEW).context["around"]]
    assert [(str(each.table), each.level, each.unindexed) for each in around] == [
        ("desk.calls", 1, True),
        ("desk.notes", 1, True),
        ("desk.tickets", 1, True),
        ("desk.files", 2, False),
    ]
    _, notes, itself, files = around
    assert notes.via == "ticket_id refers to desk.tickets"
    assert "rows that it still refers to are kept" in notes.otherwise
    assert itself.via == "follows refers to desk.tickets"
    assert "would cascade into a table that the policy does not name" in files.otherwise
    review(client, NEW, dependents=["desk\x1fcalls", "desk\x1ftickets"])
    far = {"dependents": "desk\x1ffiles"}
    assert "or name the table between" in errors(client, **far)["dependents"][0]


def test_a_new_policy_is_reviewed_then_made_and_waits(client: Client) -> None:
    at = review(
        client,
        NEW,
        **OPEN_STAYS,
        archive_first="on",
        archive_days="30",
        dependents="desk\x1fnotes",
        legal_basis="a <duty>",
        owner="the desk",
    )
    text = client.get(at).text
    assert (
        "Rows of desk.tickets are kept for 90 days after closed_at, unless"
        " status = &#x27;open&#x27;. Then they are archived for 30 days, then destroyed,"
        " together with the rows of desk.notes that refer to them."
    ) in text
    assert "a &lt;duty&gt;" in text
    assert "It begins to remove rows of desk.tickets: until now none were." in text
    assert not RetentionPolicy.objects.exists(), "nothing has happened yet"

    text = client.post(at, follow=True).text
    policy = RetentionPolicy.objects.get()
    assert fields(policy) == {
        "name": "tickets",
        "schema_name": "desk",
        "table_name": "tickets",
        "age_column": "closed_at",
        "keep_hours": 90 * 24,
        "keep_condition": {"column": "status", "operator": "=", "value": "open"},
        "archive_first": True,
        "archive_days": 30,
        "soft_delete": False,
        "dependents": [["desk", "notes"]],
        "owner": "the desk",
        "legal_basis": "a <duty>",
        "enabled": False,
    }
    run = Run.objects.get()
    assert (run.kind, run.current) == ("policy_change", RunState.AWAITING_APPROVAL)
    assert (str(run.requester), run.reason) == ("officer", "the schedule of 2031")
    assert f"waits for another person&#x27;s approval: run {run.pk}" in text
    assert "Withdraw" in text
    assert client.get(at, follow=True).redirect_chain[-1][0] == url("changelist"), "sent already"


def test_a_change_that_destroys_no_more_is_in_force_at_once(
    client: Client, policy: RetentionPolicy
) -> None:
    text = propose(client, url("propose", policy.pk), amount="120", owner="the desk")
    policy.refresh_from_db()
    assert (policy.keep_hours, policy.owner, policy.version) == (120 * 24, "the desk", 2)
    assert "version 2 is in force" in text
    assert not Run.objects.exists()
    record = policy.history.latest()
    assert str(record.history_user) == "officer"
    assert "the schedule of 2031" in record.history_change_reason


def test_a_shorter_term_waits_and_the_old_one_stays(
    client: Client, policy: RetentionPolicy
) -> None:
    at = review(client, url("propose", policy.pk), amount="36", unit="hours")
    assert "<del>90 days</del> <ins>36 hours</ins>" in client.get(at).text
    text = client.post(at, {"confirm": "desk.tickets"}, follow=True).text
    policy.refresh_from_db()
    assert (policy.keep_hours, policy.version) == (90 * 24, 1)
    assert "A change waits for approval" in text
    assert "<del>90 days</del> <ins>36 hours</ins>" in text


# Who executes a run keeps its lease from another connection.
@pytest.mark.django_db(transaction=True)
def test_another_officer_approves_with_their_password_and_it_is_in_force(
    client: Client, policy: RetentionPolicy
) -> None:
    propose(client, url("propose", policy.pk), amount="30")
    run = Run.objects.get()
    decide = f"/admin/operations/run/{run.pk}/decide/approve/"
    answer = {
        "reason": "agreed",
        "password": PASSWORD,
        "plan_hash": run.plan_hash,
        "confirm": "desk.tickets",
    }
    assert "another person has to approve" in client.post(decide, answer, follow=True).text
    other = signed_in(person("olga", role="officer", password=PASSWORD))
    shown = other.get(decide).text
    assert "Rows of desk.tickets are kept for 30 days after closed_at" in shown
    assert "<del>90</del> <ins>30</ins> days" in shown
    assert "is in force at once" in shown
    assert "That is not your password" in other.post(decide, {**answer, "password": "x"}).text
    text = other.post(decide, answer, follow=True).text
    run.refresh_from_db()
    assert run.current is RunState.SUCCEEDED, (run.error, [str(each) for each in run.events.all()])
    assert "Succeeded" in text
    policy.refresh_from_db()
    assert (policy.keep_hours, policy.version) == (30 * 24, 2)
    assert "proposed by officer and approved by olga" in client.get(url("change", policy.pk)).text


def test_terms_that_would_empty_the_table_are_asked_twice_of_both(client: Client) -> None:
    at = review(client, NEW)
    assert "Every row of desk.tickets is due (30): the table would be empty." in client.get(at).text
    assert "This field is required." in client.post(at).text
    assert "Type desk.tickets, as it is" in client.post(at, {"confirm": "tickets"}).text
    assert not RetentionPolicy.objects.exists()
    client.post(at, {"confirm": "desk.tickets"})
    run = Run.objects.get()
    decide = f"/admin/operations/run/{run.pk}/decide"
    other = signed_in(person("olga", role="officer", password=PASSWORD))
    text = other.get(f"{decide}/approve/").text
    assert "Look twice" in text
    assert "the table would be empty" in text
    answer = {"reason": "agreed", "password": PASSWORD, "plan_hash": run.plan_hash}
    assert "This field is required." in other.post(f"{decide}/approve/", answer).text
    run.refresh_from_db()
    assert run.current is RunState.AWAITING_APPROVAL
    # To refuse it nobody has to type anything.
    other.post(f"{decide}/refuse/", answer)
    run.refresh_from_db()
    assert run.current is RunState.CANCELLED


def test_who_proposed_withdraws_and_nobody_else(client: Client, policy: RetentionPolicy) -> None:
    propose(client, url("propose", policy.pk), amount="30")
    other = officer("olga")
    withdraw = url("withdraw", policy.pk)
    assert "officer proposed it." in other.post(withdraw, {"reason": "no"}, follow=True).text
    assert "Withdraw</a>" not in other.get(url("change", policy.pk)).text
    assert Run.objects.get().current is RunState.AWAITING_APPROVAL
    assert "This field is required." in client.post(withdraw, {}).text
    text = client.post(withdraw, {"reason": "a typing error"}, follow=True).text
    assert "is withdrawn" in text
    assert "A change waits" not in text
    assert Run.objects.get().current is RunState.CANCELLED


def test_what_is_wrong_is_told_at_its_field(client: Client) -> None:
    make_policy("taken")
    assert errors(client, amount="") == {"amount": ["Say how long, or choose for ever."]}
    assert errors(client, age_column="") == {
        "age_column": ["Choose the column that tells a row's age."]
    }
    assert "priority is not one of" in errors(client, age_column="priority")["age_column"][0]
    assert errors(client, name="taken") == {
        "name": ["There is a policy 'taken' already: change that one."]
    }
    assert "cannot be a policy" in errors(client, name="two\tlines")["name"][0]
    assert (
        "not one of the available"
        in errors(client, dependents="desk\x1funrelated")["dependents"][0]
    )
    assert errors(client, reason="") == {"reason": ["This field is required."]}
    text = {"keep-mode": "text", "keep-text": "status = lower('OPEN')"}
    assert "no function may be called" in errors(client, **text)["keep"][0]
    assert errors(client, **{**OPEN_STAYS, "keep-0-0-column": "priority"}) == {
        "keep": ["A line is not right yet: see there."]
    }
    assert not RetentionPolicy.objects.filter(name="tickets").exists()


def test_kept_for_ever_needs_neither_age_nor_approval(client: Client) -> None:
    text = propose(client, NEW, unit="ever", amount="", age_column="", archive_first="on")
    policy = RetentionPolicy.objects.get()
    assert (policy.keeps_for_ever, policy.enabled, policy.archive_first) == (True, True, False)
    assert "is made and in force" in text


def test_a_line_more_is_no_mistake_yet(client: Client) -> None:
    answer = client.post(NEW, given(**OPEN_STAYS, amount="", **{"keep-more": "0"}))
    assert answer.status_code == 200
    assert "This field is required" not in answer.text
    assert answer.text.count('data-key="column"') == 4, "two lines, and two blank ones for scripts"
    assert 'name="keep-0-0-value" data-key="value" rows="1"' in answer.text
    assert ">open</textarea>" in answer.text


def test_a_condition_that_lines_cannot_show_is_edited_as_sql(
    client: Client, policy: RetentionPolicy
) -> None:
    deep = "priority = 1 OR (status = 'open' AND (priority = 2 OR priority = 3))"
    first = {"keep-mode": "text", "keep-text": deep}
    propose(client, url("propose", policy.pk), **first)
    form = client.get(url("propose", policy.pk)).context["form"]
    assert (form["keep"].value().mode, form["keep"].value().text) == ("text", deep)


def test_going_back_from_the_review_keeps_what_was_written(
    client: Client, policy: RetentionPolicy
) -> None:
    at = review(client, url("propose", policy.pk), amount="45", **OPEN_STAYS)
    back = client.get(at).context["back"]
    form = client.get(back).context["form"]
    assert form["amount"].value() == 45
    assert form["reason"].value() == "the schedule of 2031"
    assert form["keep"].value().text == "status = 'open'"
    assert "was sent or given up" in officer("olga").get(at, follow=True).text, "not hers"


def test_a_policy_that_changed_meanwhile_is_looked_at_again(
    client: Client, policy: RetentionPolicy
) -> None:
    at = review(client, url("propose", policy.pk), amount="120")
    RetentionPolicy.objects.update(version=2, owner="somebody else")
    answer = client.post(at, follow=True)
    assert "was changed while you wrote" in answer.text
    policy.refresh_from_db()
    assert (policy.keep_hours, policy.owner) == (90 * 24, "somebody else")


def test_an_older_version_is_proposed_again_not_put_back(
    client: Client, policy: RetentionPolicy
) -> None:
    propose(client, url("propose", policy.pk), amount="120")
    first = policy.history.earliest()
    page = client.get(url("simple_history", policy.pk, first.pk)).text
    restore = url("restore", policy.pk, first.pk)
    assert f'action="{restore}"' in page
    assert client.get(restore).status_code == 405
    text = client.post(restore, follow=True).text
    assert "<del>120</del> <ins>90</ins> days" in text
    assert "Back to version 1." in text
    assert "Another person has to approve it" in text
    policy.refresh_from_db()
    assert policy.keep_hours == 120 * 24


def test_a_policy_whose_table_is_gone_is_pointed_to_another(client: Client) -> None:
    lost = make_policy("lost", schema_name="desk", table_name="tickts", age_column="closed_at")
    page = client.get(url("change", lost.pk)).text
    assert "It does not fit its table" in page
    assert "There is no table desk.tickts. Did you mean desk.tickets?" in page
    tables = client.get(url("propose", lost.pk), follow=True).text
    address = f"{url('propose', lost.pk)}?table=desk.tickets"
    assert address in tables
    assert "<del>tickts</del> <ins>tickets</ins>" in client.get(review(client, address)).text


def test_while_one_types_the_form_says_what_it_means(client: Client) -> None:
    answer = client.post(url("say"), given(**OPEN_STAYS, reason="", name="")).json()
    assert answer == {
        "said": {
            "sql": "status = 'open'",
            "problem": "",
            "sentence": "Rows of desk.tickets are kept for 90 days after closed_at, unless "
            "status = 'open'. Then they are destroyed.",
        },
        "problems": {},
    }
    wrong = given(**{**OPEN_STAYS, "keep-0-0-column": "priority"})
    answer = client.post(url("say"), wrong).json()
    assert answer["said"]["sentence"] == "The terms are not complete yet."
    assert "invalid input syntax" in answer["problems"]["0-0"]
    answer = client.post(url("say"), {"table": "desk.gone"}).json()
    assert "There is no table desk.gone." in answer["said"]["problem"]
