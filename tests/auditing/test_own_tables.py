"""The console's own tables are audited like the application's, and its chores leave no versions."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from auditing.context import acting
from auditing.models import AuditEvent, TrackedTable
from auditing.services import own_tables
from auditing.services.own_tables import own_tables_missing, own_tables_track
from auditing.services.untrack import table_untrack
from auditing.tasks import audit_watch
from operations.models import Alert, Run
from operations.runs.states import RunState
from operations.services.run_lease import lease_check, lease_take
from operations.services.runs import run_cancel
from tests.console import make_policy, make_run, make_table

pytestmark = [pytest.mark.sql, pytest.mark.django_db]

Execute = Callable[..., list[tuple[Any, ...]]]
EXPECTED = {
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "auth_user",
    "auth_user_groups",
    "auth_user_user_permissions",
    "django_admin_log",
    "django_celery_beat_clockedschedule",
    "django_celery_beat_crontabschedule",
    "django_celery_beat_intervalschedule",
    "django_celery_beat_periodictask",
    "django_celery_beat_solarschedule",
    "operations_alert",
    "operations_certificate",
    "operations_run",
    "operations_runevent",
    "operations_signingkey",
    "retention_archive",
    "retention_archivepart",
    "retention_heldrow",
    "retention_historicallegalhold",
    "retention_historicalretentionpolicy",
    "retention_deletion",
    "retention_holdscope",
    "retention_legalhold",
    "retention_retentionpolicy",
    "retention_softdeletetable",
}


@pytest.fixture
def some(monkeypatch: pytest.MonkeyPatch, execute: Execute) -> Callable[..., None]:
    """Only these tables count: a history takes a while to make."""

    def only(*names: str) -> None:
        everything = {name for (name,) in execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'custody'::regnamespace"
            " AND relkind = 'r'"
        )}  # fmt: skip
        monkeypatch.setattr(own_tables, "NOISE", frozenset(everything - set(names)))

    return only


def ops(execute: Execute, table: str, columns: str = "op") -> list[Any]:
    found = execute(f"SELECT {columns} FROM history.custody__{table} h ORDER BY seq")
    return [row[0] if len(row) == 1 else row for row in found]


def settle() -> None:
    """Foreign keys that are checked at the end keep triggers waiting."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_what_people_decide_is_audited_and_what_is_noise_is_not(db: None) -> None:
    """Whoever adds a table decides here too."""
    assert {name.name for name in own_tables_missing()} == EXPECTED


def test_a_second_pass_does_nothing_and_an_ended_audit_stays_ended(
    person: User, some: Callable[..., None]
) -> None:
    some("retention_retentionpolicy", "auth_group")
    settle()
    first = own_tables_track(actor=person)
    assert [str(each) for each in first.tracked] == [
        "custody.auth_group",
        "custody.retention_retentionpolicy",
    ]
    assert not TrackedTable.objects.exclude(baseline_seq=None).exists()
    second = own_tables_track(actor=person)
    assert (second.tracked, second.left, second.runs) == ([], [], [])
    table_untrack(first.tracked[0], actor=person, reason="not wanted")
    assert own_tables_track(actor=person).tracked == []
    out = io.StringIO()
    call_command("audit_console", "--json", "--user", "ada", stdout=out)
    [again] = json.loads(out.getvalue())["tracked"]
    assert again["table"] == "custody.auth_group"
    assert list(AuditEvent.objects.order_by("id").values_list("kind", "actor")) == [
        ("track", "console:ada"),
        ("track", "console:ada"),
        ("untrack", "console:ada"),
        ("track", "console:ada"),
    ]


def test_a_dry_run_names_them_and_changes_nothing(person: User, some: Callable[..., None]) -> None:
    some("auth_group")
    out = io.StringIO()
    call_command("audit_console", "--dry-run", stdout=out)
    assert "Would audit: custody.auth_group." in out.getvalue()
    assert not TrackedTable.objects.exists()


def test_a_password_leaves_that_it_changed_and_nothing_of_it(
    person: User, some: Callable[..., None], execute: Execute
) -> None:
    some("auth_user")
    settle()
    own_tables_track(actor=person)
    with acting(actor="console:ada", reason="Forgotten"):
        person.set_password("another long password")
        person.save()
    found = ops(execute, "auth_user", "op, h.*::text")
    assert [op for op, _ in found] == ["B", "U"]
    assert not any("pbkdf2" in text or "argon2" in text for _, text in found)
    [names] = execute(
        "SELECT array_agg(l.names[i]) FROM history.custody__auth_user h"
        " JOIN custody.auditing_layout l ON l.id = h.layout,"
        " generate_series(1, length(h.changed)) i WHERE get_bit(h.changed, i - 1) = 1"
    )
    assert names == (["password"],)
    [(reason,)] = execute(
        "SELECT c.reason FROM history.custody__auth_user h"
        " JOIN custody.auditing_changecontext c ON c.id = h.context AND c.xid = h.xid"
    )
    assert reason == "Forgotten"


def test_a_runs_heartbeats_and_steps_leave_no_version_and_its_decisions_do(
    person: User, some: Callable[..., None], execute: Execute
) -> None:
    some("operations_run")
    make_table()
    made = make_run(make_policy(), person)
    settle()
    own_tables_track(actor=person)
    taken = lease_take(run_id=made.pk)
    before = ops(execute, "operations_run")
    assert set(before[1:]) == {"U"}
    for step in range(20):
        lease_check(run_id=made.pk, fence=taken.fence)
        Run.objects.filter(pk=made.pk).update(cursor={"step": step}, done=step, active_seconds=1.5)
    assert ops(execute, "operations_run") == before
    run_cancel(run_id=made.pk, actor=person, reason="enough")
    assert len(ops(execute, "operations_run")) == len(before) + 1
    state = TrackedTable.objects.get().columns.get(name="state").attnum
    assert ops(execute, "operations_run", f'"{state}_state"')[-1] == RunState.PAUSING


def test_a_mailed_alert_is_no_decision_a_resolved_one_is(
    person: User, some: Callable[..., None], execute: Execute
) -> None:
    some("operations_alert")
    alert = Alert.objects.create(key="k", summary="s")
    settle()
    own_tables_track(actor=person)
    Alert.objects.filter(pk=alert.pk).update(mailed_at=timezone.now())
    assert ops(execute, "operations_alert") == ["B"]
    Alert.objects.filter(pk=alert.pk).update(resolved_at=timezone.now())
    assert ops(execute, "operations_alert") == ["B", "U"]


def test_one_that_cannot_be_audited_now_keeps_no_other_from_it(
    person: User, some: Callable[..., None], execute: Execute
) -> None:
    execute("CREATE TABLE custody.broken (note text)")
    some("broken", "retention_retentionpolicy")
    settle()
    done = own_tables_track(actor=person)
    assert [str(each) for each in done.tracked] == ["custody.retention_retentionpolicy"]
    [line] = done.left
    assert "custody.broken has no key" in line
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"custody\.broken has no key"):
        call_command("audit_console", "--json", "--user", "ada", stdout=out)
    assert json.loads(out.getvalue()) == {"tracked": [], "left": done.left, "runs": []}


def test_a_large_one_is_left_to_a_run(
    person: User, some: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_tables, "MOST_AT_ONCE", -2)
    some("auth_user")
    settle()
    done = own_tables_track(actor=person)
    assert [(run.kind, run.subject, run.state) for run in done.runs] == [
        ("audit_baseline", "custody.auth_user", "queued")
    ]
    assert own_tables_track(actor=person).runs == []


def test_the_watch_begins_what_is_missing(some: Callable[..., None]) -> None:
    some("auth_group")
    settle()
    audit_watch()
    assert [str(each) for each in TrackedTable.objects.all()] == ["custody.auth_group"]
    assert AuditEvent.objects.get().actor == "console:audit-watch"


def test_two_processes_that_start_at_once_do_it_once(
    person: User, some: Callable[..., None], other_session: Callable[[], psycopg.Connection]
) -> None:
    some("auth_group")
    settle()
    other = other_session()
    other.execute("SELECT pg_advisory_lock(%s)", [own_tables._LOCK])
    assert own_tables_track(actor=person).tracked == []
    other.execute("SELECT pg_advisory_unlock(%s)", [own_tables._LOCK])
    assert len(own_tables_track(actor=person).tracked) == 1
