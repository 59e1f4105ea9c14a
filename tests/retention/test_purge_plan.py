"""What a purge would do is said before it is done; what it must not do is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection

from operations.catalogue.read import table
from operations.models import Alert, Run
from operations.runs.exceptions import ApprovalRefused
from operations.services.runs import run_approve, run_refuse
from retention.exceptions import PurgeRefused
from retention.models import RetentionPolicy
from retention.services.purge_start import purge_preview, purge_request, purge_run

from .purging import files, live, make_events, make_policy, ran

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed", "small_batches")]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def officer(db: None) -> User:
    user = User.objects.create_user("grace", password="another long password")
    user.user_permissions.add(Permission.objects.get(codename="approve_run"))
    return User.objects.get(pk=user.pk)


def test_a_preview_counts_what_would_go_and_changes_nothing(execute: Execute) -> None:
    make_events(execute, due=120, fresh=30, ageless=5)
    execute("CREATE TABLE app.notes (event bigint REFERENCES app.events)")
    execute("INSERT INTO app.notes VALUES (1)")
    policy = make_policy(archive_days=3650)
    before = live()
    plan = purge_preview(policy=policy)
    assert plan.total == 119
    assert plan.facts["due"] == 119
    assert plan.facts["referenced"] == 1
    assert plan.facts["disposition"] == "archived for 3,650 days"
    assert plan.facts["oldest"] < plan.facts["newest"]
    assert plan.facts["walk"]["reason"]
    assert live() == before
    assert files() == set()
    assert not Run.objects.exists()


def test_a_count_that_takes_too_long_is_estimated_and_said(execute: Execute, person: User) -> None:
    make_events(execute, due=600)
    execute("ANALYZE app.events")
    policy = make_policy()
    with connection.execute_wrapper(too_slow):
        plan = purge_preview(policy=policy)
    assert plan.facts["estimated"] is True
    assert 300 < plan.facts["due"] < 700
    assert ran(purge_run(policy=policy, requester=person)).done == 600


def too_slow(execute: Any, query: Any, params: Any, many: bool, context: Any) -> Any:
    if "count(*) FILTER" in str(query):
        execute("SET LOCAL statement_timeout = '1ms'", None, many, context)
        return execute("SELECT pg_catalog.pg_sleep(5)", None, many, context)
    return execute(query, params, many, context)


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"soft_delete": True}, "does not have soft delete: manage.py softdelete_enable"),
        ({"keep_hours": None}, "keeps its rows for ever"),
        ({"enabled": False}, "is not enabled"),
    ],
)
def test_a_policy_that_must_wait_is_refused(
    execute: Execute, person: User, terms: dict[str, Any], why: str
) -> None:
    make_events(execute, due=10)
    policy = make_policy(**terms)
    before = live()
    assert why in purge_run(policy=policy, requester=person).refusal
    with pytest.raises(PurgeRefused, match=why):
        purge_preview(policy=policy)
    assert live() == before


def test_a_table_with_heirs_is_refused(execute: Execute, person: User) -> None:
    make_events(execute, due=10)
    execute("CREATE TABLE app.heirs () INHERITS (app.events)")
    assert "inherit from it" in purge_run(policy=make_policy(), requester=person).refusal


def test_a_table_whose_row_security_binds_us_is_refused(execute: Execute, person: User) -> None:
    make_events(execute, due=10)
    execute("ALTER TABLE app.events ENABLE ROW LEVEL SECURITY")
    execute("ALTER TABLE app.events FORCE ROW LEVEL SECURITY")
    binds = table("app.events").row_security
    assert binds is not is_superuser(execute)
    answer = purge_run(policy=make_policy(), requester=person)
    if binds:
        assert "Row-level security" in answer.refusal
    else:
        assert ran(answer).done == 10


def is_superuser(execute: Execute) -> bool:
    return bool(
        execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")[0][0]
    )


def surge(execute: Execute, person: User) -> Run:
    """A run that wants to delete more than twice what its policy ever did."""
    make_events(execute, due=100, fresh=0)
    policy = make_policy()
    ran(purge_run(policy=policy, requester=person))
    execute(
        "INSERT INTO app.events (id, created_at)"
        " SELECT 1000 + n, now() - interval '9 years' FROM generate_series(1, 201) n"
    )
    answer = purge_run(policy=policy, requester=person)
    assert answer.run is not None
    return answer.run


def test_twice_the_recent_maximum_goes_by_itself(execute: Execute, person: User) -> None:
    run = surge(execute, person)
    execute("DELETE FROM app.events WHERE id = 1201")
    run_refuse_as_another(run)
    again = purge_run(policy=policy_of(run), requester=person)
    assert ran(again).done == 200


def policy_of(run: Run) -> RetentionPolicy:
    return RetentionPolicy.objects.get(pk=run.parameters["policy"])


def run_refuse_as_another(run: Run) -> None:
    boss = User.objects.create_superuser("boss", password="a long enough password")
    assert run_refuse(run_id=run.pk, approver=boss).state == "cancelled"


def test_more_than_twice_the_recent_maximum_waits_for_another_person(
    execute: Execute, person: User, officer: User
) -> None:
    run = surge(execute, person)
    assert run.state == "awaiting_approval"
    assert "201 rows are due, more than twice the 100" in run.approval_reason
    assert execute("SELECT count(*) FROM app.events WHERE id > 1000") == [(201,)]
    assert Alert.objects.filter(key=f"run-approval:{run.pk}", resolved_at=None).exists()
    # Asking again changes nothing: it still waits.
    policy = policy_of(run)
    still = purge_run(policy=policy, requester=officer).run
    assert still is not None
    assert (still.pk, still.state) == (run.pk, "awaiting_approval")
    with pytest.raises(ApprovalRefused, match="asked for run"):
        run_approve(run_id=run.pk, approver=person)
    run_approve(run_id=run.pk, approver=officer, reason="after the import")
    assert not Alert.objects.filter(key=f"run-approval:{run.pk}", resolved_at=None).exists()
    done = ran(purge_run(policy=policy, requester=person))
    assert (done.pk, done.done, str(done.decided_by)) == (run.pk, 201, "grace")


def test_a_run_that_meets_many_more_rows_than_were_estimated_stops_for_approval(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=100, fresh=2000)
    policy = make_policy()
    ran(purge_run(policy=policy, requester=person))
    execute("ANALYZE app.events")
    # The statistics do not know it yet.
    execute("UPDATE app.events SET created_at = now() - interval '9 years' WHERE id < 1000")
    with connection.execute_wrapper(too_slow):
        planned = purge_request(policy=policy, requester=person)
    assert planned.state == "queued"
    assert planned.plan["estimated"] is True
    run = purge_run(policy=policy, requester=person).run
    assert run is not None
    assert run.pk == planned.pk
    assert run.state == "cancelled"
    assert run.done <= 200
    assert "than may go unapproved" in run.error
    again = purge_run(policy=policy, requester=person).run
    assert again is not None
    assert again.state == "awaiting_approval"


def test_a_plan_that_is_not_the_one_that_was_shown_cannot_be_approved(
    execute: Execute, person: User, officer: User
) -> None:
    run = surge(execute, person)
    run.parameters["cutoff"] = "2100-01-01T00:00:00+00:00"
    run.save()
    with pytest.raises(ApprovalRefused, match="not the one that was made"):
        run_approve(run_id=run.pk, approver=officer)
    assert Run.objects.get(pk=run.pk).state == "awaiting_approval"


def test_refused_it_is_over_and_nothing_was_touched(
    execute: Execute, person: User, officer: User
) -> None:
    run = surge(execute, person)
    before = live()
    assert run_refuse(run_id=run.pk, approver=officer, reason="too many").state == "cancelled"
    assert live() == before
    assert Run.objects.get(pk=run.pk).decision == "refused"
