"""The preview in the admin: there at once, filled when the rows were looked at, stored nowhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from operations.models import Run
from operations.runs.states import RunState
from retention.models import RetentionPolicy
from retention.services.policy_change import policy_propose
from retention.services.policy_terms import PolicyTerms
from tests.console import make_policy, make_run, make_table, person, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def officer() -> User:
    return person("officer", role="officer")


@pytest.fixture
def client(officer: User) -> Client:
    return signed_in(officer)


def address(policy: RetentionPolicy, look: str = "") -> str:
    url = reverse("admin:retention_retentionpolicy_preview", args=[policy.pk])
    return f"{url}?look={look}" if look else url


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_page_shows_without_looking_at_a_row(client: Client) -> None:
    make_table()
    policy = make_policy()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        text = client.get(address(policy)).text
    assert f'data-preview="{address(policy, "part")}"' in text
    assert f'<a class="c-link" href="{address(policy, "page")}">' in text
    assert not [each for each in queries.captured_queries if '"app"' in each["sql"]]
    page = client.get(reverse("admin:retention_retentionpolicy_change", args=[policy.pk])).text
    assert address(policy) in page


@pytest.mark.parametrize("look", ["part", "page"])
def test_it_tells_what_would_go_and_what_remains(client: Client, look: str) -> None:
    make_table(rows=20)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO app.events VALUES (21, now()), (22, NULL)")
        cursor.execute("CREATE TABLE app.notes (event int REFERENCES app.events)")
        cursor.execute("INSERT INTO app.notes VALUES (1), (2)")
    policy = make_policy(archive_first=True)
    response = client.get(address(policy, look))
    text = words(response.text)
    for told in (
        "Due now 18 81.8% of the table",
        "Kept, still referred to 2",
        "Of unknown age 1",
        "Counted, every row.",
        "CREATE INDEX CONCURRENTLY ON app.notes (event);",
        "app.notes notes_event_fkey Keeps",
        "The archive holds the rows for ever.",
        "Nothing was changed",
    ):
        assert told in text
    assert ("</html>" in response.text) is (look == "page")
    if look == "part":
        assert "no-store" in response["Cache-Control"]
    assert not Run.objects.exists()


def test_cautions_stand_first(client: Client) -> None:
    make_table(rows=20)
    text = words(client.get(address(make_policy(), "part")).text)
    assert text.startswith("Look twice Every row of app.events is due (20)")


def test_where_nothing_can_be_looked_at_it_says_why(client: Client) -> None:
    policy = make_policy(table_name="gone")
    text = words(client.get(address(policy, "part")).text)
    assert "It cannot be looked at There is no table app.gone" in text


def test_nobody_without_the_right_sees_rows(client: Client) -> None:
    make_table()
    policy = make_policy()
    stranger = signed_in(person("stranger"))
    for look in ("", "part", "page"):
        assert stranger.get(address(policy, look)).status_code == 403
    assert client.post(address(policy)).status_code == 405
    assert client.get(address(RetentionPolicy(pk=policy.pk + 1), "part")).status_code == 404


def proposed(officer: User, **terms: Any) -> Run:
    policy = make_policy("events", keep_hours=24 * 500)
    new = PolicyTerms.from_json({**PolicyTerms.of(policy).to_json(), **terms})
    run = policy_propose(terms=new, policy=policy, actor=officer, reason="schedule").run
    assert run is not None
    return run


def test_an_approver_sees_what_the_proposed_terms_would_do(officer: User) -> None:
    make_table(rows=20)
    run = proposed(officer, keep_hours=24 * 90)
    boss = signed_in(person("boss", role="officer"))
    part = f"{reverse('admin:retention_retentionpolicy_preview_run', args=[run.pk])}?look=part"
    page = boss.get(reverse("admin:operations_run_change", args=[run.pk])).text
    assert f'data-preview="{part}"' in page
    assert "Due now 20" in words(boss.get(part).text)
    # What was counted when it was proposed is bound by the approval, without a row of it.
    frozen = run.plan["preview"]
    assert frozen["counts"]["due"]["value"] == 20
    assert frozen["remains"]
    assert "samples" not in frozen
    assert run.plan["cautions"][0].startswith("Every row of app.events is due (20)")
    nobody = boss.get(reverse("admin:retention_retentionpolicy_preview_run", args=[run.pk + 1]))
    assert nobody.status_code == 404


def test_an_approver_of_a_purge_sees_how_things_stand_now(client: Client, officer: User) -> None:
    make_table()
    policy = make_policy()
    run = make_run(policy, person("asker"), RunState.AWAITING_APPROVAL)
    page = client.get(reverse("admin:operations_run_change", args=[run.pk])).text
    assert f'data-preview="{address(policy, "part")}"' in page
    run.state = RunState.SUCCEEDED
    run.save()
    page = client.get(reverse("admin:operations_run_change", args=[run.pk])).text
    assert "data-preview" not in page
