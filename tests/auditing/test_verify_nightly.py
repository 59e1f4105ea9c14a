"""Every night the log is verified; what is found is an alert until it is gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from auditing.models import SealBlock, SealPosition
from auditing.services import verify_chain
from auditing.services.anchors import anchors_file
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_verify import audit_verify_start
from auditing.services.track import table_track
from auditing.services.verify_nightly import verify_nightly
from operations.models import Alert, Run, ScheduledJob
from operations.runs.states import RunState
from operations.selectors.schedules import jobs_missed
from operations.services.actors import system_user
from operations.services.run_to_end import run_to_end

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def scheduler(execute: Execute, person: User) -> User:
    """Two blocks of an audited table are there."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total int)")
    table_track("app.orders", actor=person, reason="the law")
    for n in (1, 2):
        execute("INSERT INTO app.orders VALUES (%s, 10)", [n])
        audit_seal()
    return system_user("scheduler")


def edit(execute: Execute, key: int) -> None:
    execute("UPDATE history.app__orders SET client = '10.1.1.1' WHERE \"1_id\" = %s", [key])


def mend(execute: Execute) -> None:
    execute("UPDATE history.app__orders SET client = NULL")


def night(scheduler: User) -> Run:
    asked = verify_nightly(requester=scheduler)
    assert asked is not None
    run = run_to_end(run=asked)
    assert run.current is RunState.SUCCEEDED, run.error
    return run


def ago(run: Run, **time: int) -> None:
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(**time))


def alerts() -> dict[str, tuple[str, int | None]]:
    found = Alert.objects.filter(resolved_at=None, key__startswith="audit-verify:")
    return {each.key: (each.summary, each.run_id) for each in found}


def test_all_of_it_the_first_night_then_what_is_new_and_all_of_it_after_a_week(
    scheduler: User,
) -> None:
    first = night(scheduler)
    assert (first.plan["since"], first.result["findings"]) == ("the beginning", 0)
    assert ScheduledJob.objects.get().name == "auditing.verify_nightly"
    assert jobs_missed() == []
    ago(first, days=3)
    second = night(scheduler)
    since = timezone.now() - timedelta(days=4)
    assert abs(datetime.fromisoformat(second.plan["since"]) - since) < timedelta(minutes=1)
    ago(first, days=7)
    assert night(scheduler).plan["since"] == "the beginning"
    assert alerts() == {}


def test_a_verification_that_goes_on_is_not_doubled(scheduler: User) -> None:
    first = verify_nightly(requester=scheduler)
    assert first is not None
    assert verify_nightly(requester=scheduler) is None
    run_to_end(run=first)
    assert verify_nightly(requester=scheduler) is not None


def test_what_was_found_is_looked_for_again_and_told_until_it_is_gone(
    scheduler: User, execute: Execute
) -> None:
    clean = night(scheduler)
    ago(clean, days=2)
    edit(execute, 2)
    found = night(scheduler)
    said = "Verification found 1 thing in the audit log that is not as sealed."
    assert alerts() == {"audit-verify:all": (said, found.pk)}
    [alert] = Alert.objects.filter(key="audit-verify:all")
    assert "of app.orders 2 is not what was sealed in block" in alert.remedy
    again = night(scheduler)
    assert again.plan["since"] == found.plan["since"]
    assert list(alerts()) == ["audit-verify:all"]
    mend(execute)
    assert night(scheduler).result["findings"] == 0
    assert alerts() == {}


def test_an_alert_does_not_end_by_a_look_that_reaches_less_far(
    scheduler: User, execute: Execute
) -> None:
    edit(execute, 1)
    whole = night(scheduler)
    assert [run for _, run in alerts().values()] == [whole.pk]
    now = SealBlock.objects.order_by("number").values_list("made_at", flat=True).last()
    late = run_to_end(run=audit_verify_start(requester=scheduler, since=now))
    other = run_to_end(run=audit_verify_start(requester=scheduler, table="app.orders", since=now))
    assert (late.result["findings"], other.result["findings"]) == (0, 0)
    assert [run for _, run in alerts().values()] == [whole.pk]
    table = run_to_end(run=audit_verify_start(requester=scheduler, table="app.orders"))
    assert sorted(run for _, run in alerts().values()) == [whole.pk, table.pk]
    mend(execute)
    run_to_end(run=audit_verify_start(requester=scheduler, table="app.orders"))
    assert [run for _, run in alerts().values()] == [whole.pk]
    night(scheduler)
    assert alerts() == {}


def test_anchors_that_are_on_another_machine_are_told_and_no_finding(
    scheduler: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert night(scheduler).result["remarks"] == []
    anchors_file(SealPosition.objects.get().chain).unlink()
    assert night(scheduler).result["remarks"] == []
    monkeypatch.setattr(verify_chain, "PATIENCE", timedelta(0))
    result = night(scheduler).result
    [remark] = result["remarks"]
    assert result["findings"] == 0
    assert remark.startswith("Block 2 was made at ")
    assert "the last anchor known here is of block 1 " in remark
