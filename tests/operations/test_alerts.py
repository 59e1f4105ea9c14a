"""What needs somebody is said once, mailed once, and taken back when it is mended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.mail import EmailMessage
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from operations.models import Alert, Run, RunEvent, ScheduledJob
from operations.runs.states import RunState
from operations.services.alerts import alert_raise, alert_resolve, alert_send
from operations.services.run_execute import run_execute
from operations.services.run_lease import lease_take, run_sweep
from operations.services.runs import run_approve, run_cancel, run_create, run_refuse, run_resume
from operations.services.watch import watch

from . import slow_kind

assert slow_kind
MINUTES = timedelta(minutes=1)


def open_alerts() -> dict[str, str]:
    """Key and summary."""
    return dict(Alert.objects.filter(resolved_at=None).values_list("key", "summary"))


def slow_run(person: User, **parameters: Any) -> Run:
    given = {"steps": 2, "seconds": 0, **parameters}
    return run_create(kind="slow", parameters=given, requester=person)


def aged(run: Run, minutes: float) -> Run:
    """The run, as it would be had all of it happened so much earlier."""
    earlier = timezone.now() - minutes * MINUTES
    Run.objects.filter(pk=run.pk).update(created_at=earlier)
    RunEvent.objects.filter(run=run).update(at=earlier)
    return run


# Raised, refreshed, resolved.


def test_one_open_alert_a_key(db: None) -> None:
    alert_raise(key="a", summary="first")
    alert_raise(key="a", summary="second\n  line", remedy="do this", severity="warning")
    alert = Alert.objects.get()
    assert (alert.summary, alert.remedy, alert.severity) == ("second line", "do this", "warning")
    assert alert_resolve(key="a") == 1
    assert alert_resolve(key="a") == 0
    alert_raise(key="a", summary="again")
    assert Alert.objects.count() == 2
    assert open_alerts() == {"a": "again"}


def test_a_very_long_summary_is_cut(db: None) -> None:
    alert_raise(key="a", summary="x" * 1000)
    assert len(Alert.objects.get().summary) == 300


# Mail.


def test_open_alerts_are_mailed_once_in_one_mail(
    db: None, settings: Settings, mailoutbox: list[EmailMessage]
) -> None:
    settings.CUSTODY_ALERT_EMAILS = ["officer@example.org"]
    alert_raise(key="a", summary="A failed:\nERROR", remedy="Mend A.")
    alert_raise(key="b", summary="B failed", remedy="Mend B.")
    alert_raise(key="c", summary="C was mended")
    alert_resolve(key="c")
    assert alert_send() == 2
    assert alert_send() == 0
    [mail] = mailoutbox
    assert mail.to == ["officer@example.org"]
    assert mail.subject.startswith("Custody: ")
    assert mail.subject.endswith("(and 1 more)")
    for said in ("A failed: ERROR\nMend A.", "B failed\nMend B."):
        assert said in mail.body
    assert "C was mended" not in mail.body
    # Refreshing does not mail it again; a new one does.
    alert_raise(key="a", summary="A still failed")
    assert alert_send() == 0
    alert_resolve(key="a")
    alert_raise(key="a", summary="A failed again")
    assert alert_send() == 1


def test_without_addresses_nothing_is_mailed_and_nothing_is_lost(
    db: None, settings: Settings, mailoutbox: list[EmailMessage]
) -> None:
    settings.CUSTODY_ALERT_EMAILS = []
    alert_raise(key="a", summary="A failed")
    assert alert_send() == 0
    settings.CUSTODY_ALERT_EMAILS = ["officer@example.org"]
    assert alert_send() == 1
    assert len(mailoutbox) == 1


# Approvals.


def approver() -> User:
    user = User.objects.create_user("grace", password="a long enough password")
    user.user_permissions.add(Permission.objects.get(codename="approve_run"))
    return user


@pytest.mark.parametrize("decision", ["approve", "refuse", "cancel"])
def test_a_run_that_waits_for_approval_says_so_until_it_is_decided(
    db: None, person: User, decision: str
) -> None:
    run = slow_run(person, approval="Twice as much as ever.")
    [alert] = Alert.objects.filter(resolved_at=None)
    assert alert.key == f"run-approval:{run.pk}"
    assert (alert.severity, alert.run) == ("warning", run)
    assert "Twice as much as ever." in alert.remedy
    assert f"manage.py run_approve {run.pk} --user NAME" in alert.remedy
    if decision == "approve":
        run_approve(run_id=run.pk, approver=approver())
    elif decision == "refuse":
        run_refuse(run_id=run.pk, approver=approver())
    else:
        run_cancel(run_id=run.pk, actor=person)
    assert open_alerts() == {}


# Stalled runs.


def test_a_queued_run_is_stalled_after_five_minutes(db: None, person: User) -> None:
    run = aged(slow_run(person), 4.9)
    watch()
    assert open_alerts() == {}
    aged(run, 5.1)
    watch()
    watch()
    [(key, summary)] = open_alerts().items()
    assert key == f"run-stalled:{run.pk}"
    assert summary.startswith(f"Run {run.pk}: slow counting: no worker took it since ")
    assert Alert.objects.count() == 1
    assert "manage.py serve" in Alert.objects.get().remedy


def test_it_counts_from_when_it_was_queued_last(db: None, person: User) -> None:
    run = aged(slow_run(person), 60)
    Run.objects.filter(pk=run.pk).update(state=RunState.FAILED)
    run_resume(run_id=run.pk, actor=person)
    watch()
    assert open_alerts() == {}


@pytest.mark.parametrize("mended", ["taken", "cancelled"])
def test_the_alert_goes_when_somebody_takes_the_run_or_cancels_it(
    transactional_db: None, person: User, mended: str
) -> None:
    run = aged(slow_run(person), 10)
    watch()
    assert len(open_alerts()) == 1
    if mended == "taken":
        lease_take(run_id=run.pk)
    else:
        run_cancel(run_id=run.pk, actor=person)
    watch()
    assert open_alerts() == {}


def test_runs_that_wait_for_busy_workers_are_not_stalled(
    transactional_db: None, person: User
) -> None:
    lease_take(run_id=slow_run(person, subject="first").pk)
    aged(slow_run(person, subject="second"), 60)
    watch()
    assert open_alerts() == {}


def test_a_run_that_ends_three_workers_without_a_step_is_stalled(
    transactional_db: None, person: User, governed: str, execute: Any
) -> None:
    execute("CREATE TABLE app.counted (number int)")
    run = slow_run(person)
    for losses in (1, 2, 3):
        lease_take(run_id=run.pk)
        # The worker's session is gone.
        Run.objects.filter(pk=run.pk).update(backend_start=Now() - timedelta(days=1))
        assert run_sweep() == [run.pk]
        assert Run.objects.get().losses == losses
        watch()
        assert len(open_alerts()) == (losses == 3)
    [(key, summary)] = open_alerts().items()
    assert key == f"run-stalled:{run.pk}"
    assert "3 workers in a row ended" in summary
    assert f"run_pause {run.pk}" in Alert.objects.get().remedy
    # One that gets further takes it back.
    assert run_execute(run_id=run.pk).current is RunState.SUCCEEDED
    watch()
    assert open_alerts() == {}
    assert Run.objects.get().losses == 0


# Missed jobs.


def test_a_missed_job_is_said_until_it_begins(db: None) -> None:
    job = ScheduledJob.objects.create(
        name="retention.purge_nightly", last_started_at=timezone.now() - timedelta(days=2, hours=2)
    )
    watch()
    watch()
    [(key, summary)] = open_alerts().items()
    assert key == "job-missed:retention.purge_nightly"
    assert "was due at" in summary
    job.last_started_at = timezone.now()
    job.save()
    watch()
    assert open_alerts() == {}
    assert Alert.objects.count() == 1
