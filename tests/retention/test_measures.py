"""What is measured each morning is what the overview shows, without counting anything itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from operations.models import ScheduledJob
from operations.runs.states import RunState
from retention import tasks
from retention.models import PolicyMeasure, RetentionPolicy, TableMeasure
from retention.selectors.measures import policy_states, table_growth
from retention.services.measures import MEASURE_TAKE, measure_take
from tests.console import make_policy, make_run, make_table, person, signed_in

pytestmark = pytest.mark.django_db

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def policy(execute: Execute) -> RetentionPolicy:
    make_table(rows=20)
    execute("INSERT INTO app.events SELECT n, now() FROM generate_series(100, 104) n")
    execute("ANALYZE app.events")
    return make_policy()


def state(policy: RetentionPolicy) -> Any:
    [found] = policy_states(policies=RetentionPolicy.objects.filter(pk=policy.pk))
    return found


def test_due_rows_are_counted_and_weighed(policy: RetentionPolicy) -> None:
    [measure] = measure_take().policies
    assert (measure.due_rows, measure.held_rows, measure.problem) == (20, 0, "")
    [table] = TableMeasure.objects.filter(table_name="events")
    assert (table.rows, table.bytes > 0) == (25, True)
    assert measure.due_bytes == round(20 * table.bytes / 25)
    assert state(policy).due_rows == 20


def test_a_second_measure_on_the_same_day_replaces_the_first(
    policy: RetentionPolicy, execute: Execute
) -> None:
    measure_take()
    execute("DELETE FROM app.events WHERE id <= 5")
    measure_take()
    assert list(PolicyMeasure.objects.values_list("due_rows", flat=True)) == [15]
    assert TableMeasure.objects.filter(table_name="events").count() == 1


def test_what_cannot_be_measured_says_why_and_stops_no_other(
    policy: RetentionPolicy, execute: Execute
) -> None:
    gone = make_policy("gone", table_name="nowhere")
    measures = {measure.policy.name: measure for measure in measure_take().policies}
    assert "nowhere" in measures["gone"].problem
    assert measures["gone"].due_rows is None
    assert measures["events"].due_rows == 20
    assert state(gone).due_rows is None


def test_what_runs_removed_since_is_no_longer_due(policy: RetentionPolicy) -> None:
    measure_take()
    asker = person("asker")
    make_run(policy, asker, RunState.SUCCEEDED, done=12, finished_at=timezone.now())
    before = timezone.now() - timedelta(days=1)
    make_run(policy, asker, RunState.SUCCEEDED, done=7, finished_at=before)
    found = state(policy)
    assert found.due_rows == 8
    assert found.due_bytes == round(found.measure.due_bytes * 8 / 20)


def test_a_policy_stopped_for_approval_is_said_to_be(policy: RetentionPolicy) -> None:
    measure_take()
    run = make_run(policy, person("asker"), RunState.AWAITING_APPROVAL)
    assert state(policy).waiting == run
    page = signed_in(person("otto", role="officer")).get(reverse("admin:index")).text
    assert "Stopped for approval" in page


def test_partitions_are_measured_with_the_table_they_belong_to(execute: Execute) -> None:
    execute("CREATE SCHEMA app")
    execute("CREATE TABLE app.log (at date) PARTITION BY RANGE (at)")
    execute(
        "CREATE TABLE app.log_1 PARTITION OF app.log FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)"
    )
    execute("INSERT INTO app.log SELECT '2024-01-01' FROM generate_series(1, 50)")
    execute("ANALYZE app.log")
    measure_take()
    measured = TableMeasure.objects.filter(schema_name="app")
    assert list(measured.values_list("table_name", "rows")) == [("log", 50)]


def test_growth_has_every_day_and_the_largest_tables_first(db: None) -> None:
    today = timezone.localdate()
    for name, ago, size in (("small", 0, 10), ("large", 0, 300), ("large", 2, 100)):
        TableMeasure.objects.create(
            schema_name="app", table_name=name, on=today - timedelta(days=ago), rows=1, bytes=size
        )
    days, tables = table_growth(days=4, most=2)
    assert days == [today - timedelta(days=ago) for ago in (3, 2, 1, 0)]
    assert [(each.table, each.bytes) for each in tables] == [
        ("app.large", (None, 100, None, 300)),
        ("app.small", (None, None, None, 10)),
    ]


def test_the_job_of_the_morning_is_noted(policy: RetentionPolicy) -> None:
    tasks.measure_take()
    assert ScheduledJob.objects.filter(name=MEASURE_TAKE).exists()
    assert PolicyMeasure.objects.get().due_rows == 20


def test_the_command_prints_what_was_measured(policy: RetentionPolicy) -> None:
    out = StringIO()
    call_command("measure_take", json=True, stdout=out)
    document = json.loads(out.getvalue())
    assert [(each["policy"], each["due_rows"]) for each in document["measures"]] == [("events", 20)]


def test_the_overview_asks_as_much_for_many_policies_as_for_few(policy: RetentionPolicy) -> None:
    measure_take()
    client = signed_in(person("olga", role="operator"))
    asker = person("asker")

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(reverse("admin:index")).status_code == 200
        return len(asked)

    few = queries()
    for number in range(10):
        other = make_policy(f"other-{number}")
        make_run(other, asker, RunState.SUCCEEDED)
        PolicyMeasure.objects.create(
            policy=other, on=timezone.localdate(), at=timezone.now(), due_rows=number
        )
    assert queries() <= few


def test_the_overview_shows_due_rows_problems_and_growth(policy: RetentionPolicy) -> None:
    make_policy("gone", table_name="nowhere")
    measure_take()
    page = signed_in(person("auditor-ann", role="auditor")).get(reverse("admin:index")).text
    due = page[page.index('id="policies"') : page.index('id="growth"')]
    assert due.index("gone") < due.index("events")
    assert "Cannot be measured" in due
    assert ">20<" in due
    assert "app.events" in page[page.index('id="growth"') :]
