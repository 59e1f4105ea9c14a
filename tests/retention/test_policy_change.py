"""Terms that destroy more wait for another person; until then the old ones are in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from operations.conditions.structure import Comparison
from operations.models import Alert, Run
from operations.runs.exceptions import ApprovalRefused
from operations.services.run_approve import run_approve_and_execute
from operations.services.runs import run_refuse
from retention.exceptions import PolicyBusy, PolicyRefused
from retention.models import RetentionPolicy
from retention.selectors.policies import policies_runnable, policy_approval
from retention.services.policy_change import policies_store, policy_prepare, policy_propose
from retention.services.policy_terms import PolicyTerms
from retention.services.purge_start import purge_run
from tests.approving import approve, second_person
from tests.console import person as make_person

from .agreeing import TERMS, agreed, propose, stored, waiting
from .purging import live, make_events, messages

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def events(governed: str, execute: Execute) -> None:
    """30 rows older than a year, 5 of this minute, 1 of no known age."""
    make_events(execute, due=30, fresh=5, ageless=1)


def history(policy: RetentionPolicy) -> list[tuple[str, str]]:
    records = policy.history.order_by("history_id").select_related("history_user")
    return [(str(each.history_user), each.history_change_reason) for each in records]


def test_a_new_policy_removes_nothing_until_another_person_has_approved_it(person: User) -> None:
    answer = propose(person, reason="the schedule")

    assert (answer.change, len(answer.why), answer.superseded) == ("created", 1, None)
    policy, run = answer.policy, waiting(answer)
    assert stored(policy) == (replace(TERMS, enabled=False), 1)
    assert policies_runnable() == []
    assert "not enabled" in purge_run(policy=policy, requester=person).refusal
    assert Alert.objects.get(resolved_at=None).key == f"run-approval:{run.pk}"
    assert run.plan["preview"]["counts"]["due"]["value"] == 30
    assert run.plan["difference"] == [{"what": "enabled", "old": "no", "new": "yes"}]

    done = approve(run)

    assert (done.state, done.result) == (
        "succeeded",
        {"policy": "events", "version": 2, "approved_by": "second"},
    )
    assert stored(policy) == (TERMS, 2)
    assert not Alert.objects.filter(resolved_at=None).exists()
    assert history(policy) == [
        ("ada", "the schedule"),
        ("ada", f"Approved by second (run {run.pk}). the schedule"),
    ]
    assert len(live()) == 36
    assert purge_run(policy=policy, requester=person).deleted == 30


def test_while_a_change_waits_purges_go_by_the_old_terms(person: User) -> None:
    policy = agreed(person)
    answer = propose(person, policy, keep_hours=0)
    assert (answer.change, answer.policy.keep_hours) == ("waiting", 8760)
    assert purge_run(policy=policy, requester=person).deleted == 30
    run = run_approve_and_execute(
        run_id=waiting(answer).pk, approver=second_person(), confirm="app.events"
    )
    assert run.state == "succeeded"
    assert stored(policy) == (replace(TERMS, keep_hours=0), 3)
    assert purge_run(policy=policy, requester=person).deleted == 5


@pytest.mark.parametrize(
    "change",
    [
        {"keep_hours": 24 * 400},
        {"keep_hours": None},
        {"enabled": False},
        {"keep_condition": Comparison("kind", "is null")},
        {"archive_days": None},
        {"archive_days": 366},
        {"owner": "Marketing", "legal_basis": "Consent"},
    ],
)
def test_what_destroys_no_more_is_in_force_at_once_as_a_new_version(
    person: User, change: dict[str, Any]
) -> None:
    policy = agreed(person)
    answer = propose(person, policy, reason="so it is better", **change)
    assert (answer.change, answer.run, answer.why) == ("changed", None, ())
    assert stored(policy) == (replace(TERMS, **change), 3)
    assert history(policy)[-1] == ("ada", "so it is better")


def test_the_proposer_does_not_approve_nor_does_who_may_not(person: User) -> None:
    person.is_superuser = True
    person.save()
    run = waiting(propose(person))
    with pytest.raises(ApprovalRefused, match="another person has to"):
        run_approve_and_execute(run_id=run.pk, approver=person)
    with pytest.raises(ApprovalRefused, match="no permission"):
        run_approve_and_execute(run_id=run.pk, approver=make_person("nemo", role="auditor"))
    assert policies_runnable() == []
    assert Run.objects.get(pk=run.pk).state == "awaiting_approval"


def test_what_is_refused_never_comes_into_force_and_can_be_proposed_again(person: User) -> None:
    policy = agreed(person)
    run = waiting(propose(person, policy, keep_hours=48))
    run_refuse(run_id=run.pk, approver=second_person(), reason="too short")
    assert stored(policy) == (TERMS, 2)
    again = waiting(propose(person, policy, keep_hours=48))
    assert again.pk != run.pk
    assert approve(again).state == "succeeded"
    assert stored(policy) == (replace(TERMS, keep_hours=48), 3)


def test_the_same_again_is_the_same_run_and_another_proposal_takes_its_place(person: User) -> None:
    policy = agreed(person)
    first = waiting(propose(person, policy, keep_hours=48))
    same = propose(person, policy, keep_hours=48)
    assert (same.change, same.run, same.superseded) == ("waiting", first, None)

    other = propose(person, policy, keep_hours=24, reason="sooner still")

    assert other.superseded == first
    first.refresh_from_db()
    assert first.state == "cancelled"
    assert "Another proposal takes its place. sooner still" in messages(first)[-1]
    assert waiting(other).pk != first.pk
    assert Run.objects.filter(kind="policy_change", state="awaiting_approval").count() == 1
    with pytest.raises(Exception, match="does not wait for approval"):
        approve(first)
    assert stored(policy) == (TERMS, 2)


def test_a_change_in_force_at_once_takes_the_place_of_one_that_waits(person: User) -> None:
    policy = agreed(person)
    run = waiting(propose(person, policy, keep_hours=48))
    answer = propose(person, policy, keep_hours=24 * 500)
    assert (answer.change, answer.superseded) == ("changed", run)
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_what_is_in_force_already_changes_nothing_and_withdraws_nothing(person: User) -> None:
    policy = agreed(person)
    run = waiting(propose(person, policy, keep_hours=48))
    answer = propose(person, policy)
    assert (answer.change, answer.run, answer.still_waits) == ("unchanged", None, run)
    assert waiting(propose(person, policy, keep_hours=48)) == run
    assert policy.history.count() == 2


def test_a_dry_run_says_what_would_become_of_it_and_changes_nothing(person: User) -> None:
    answer = policy_propose(terms=TERMS, actor=person, dry_run=True)
    assert (answer.change, bool(answer.why), answer.run) == ("created", True, None)
    assert not RetentionPolicy.objects.exists()
    policy = agreed(person)
    shorter = replace(TERMS, keep_hours=1)
    answer = policy_propose(terms=shorter, policy=policy, actor=person, dry_run=True)
    assert (answer.change, bool(answer.why), answer.run) == ("waiting", True, None)
    assert Run.objects.count() == 1
    assert stored(policy) == (TERMS, 2)


def test_what_would_empty_the_table_is_approved_only_by_typing_its_name(
    person: User, execute: Execute
) -> None:
    policy = agreed(person)
    execute("DELETE FROM app.events WHERE created_at IS NULL")
    answer = propose(person, policy, keep_hours=0)
    run, other = waiting(answer), second_person()
    assert "would be empty" in answer.cautions[0]
    for typed in ("", "yes", "events", "app.event"):
        with pytest.raises(ApprovalRefused, match=r"type app\.events"):
            run_approve_and_execute(run_id=run.pk, approver=other, confirm=typed)
    assert stored(policy) == (TERMS, 2)
    done = run_approve_and_execute(run_id=run.pk, approver=other, confirm=" app.events ")
    assert done.state == "succeeded"


def test_a_plan_that_was_tampered_with_is_not_approved(person: User) -> None:
    policy = agreed(person)
    run = waiting(propose(person, policy, keep_hours=48))
    run.parameters["terms"]["keep_hours"] = 0
    run.save()
    with pytest.raises(ApprovalRefused, match="not the one that was made"):
        approve(run)
    assert stored(policy) == (TERMS, 2)


def test_terms_made_from_another_version_do_not_come_into_force(person: User) -> None:
    policy = agreed(person)
    run = waiting(propose(person, policy, keep_hours=48))
    RetentionPolicy.objects.filter(pk=policy.pk).update(version=7, keep_hours=24 * 500)
    done = approve(run)
    assert (done.state, "propose it again" in done.error) == ("cancelled", True)
    assert stored(policy) == (replace(TERMS, keep_hours=24 * 500), 7)


def test_terms_that_no_longer_fit_the_table_do_not_come_into_force(
    person: User, execute: Execute
) -> None:
    policy = agreed(person)
    execute("ALTER TABLE app.events ADD COLUMN closed_at timestamptz")
    run = waiting(propose(person, policy, age_column="closed_at"))
    execute("ALTER TABLE app.events DROP COLUMN closed_at")
    done = approve(run)
    assert done.state == "cancelled"
    assert "no column 'closed_at'" in done.error
    assert stored(policy) == (TERMS, 2)


def test_a_policy_that_no_longer_fits_can_still_be_taken_out_of_force(
    person: User, execute: Execute
) -> None:
    policy = agreed(person)
    execute("DROP TABLE app.events")
    with pytest.raises(PolicyRefused, match=r"no table app\.events"):
        propose(person, policy, keep_hours=24 * 500)
    assert propose(person, policy, enabled=False).change == "changed"
    assert policies_runnable() == []


def test_a_policy_keeps_its_name_and_no_other_gets_it(person: User) -> None:
    policy = agreed(person)
    with pytest.raises(PolicyRefused, match="keeps its name"):
        propose(person, policy, name="other")
    with pytest.raises(PolicyRefused, match="There is a policy 'events' already"):
        propose(person)


def test_of_two_who_change_a_policy_at_once_the_second_looks_again(person: User) -> None:
    policy = agreed(person)
    looked = policy_prepare(terms=replace(TERMS, owner="Marketing"), policy=policy)
    shorter = policy_prepare(terms=replace(TERMS, keep_hours=48), policy=policy)
    propose(person, policy, owner="Legal")
    for proposal in (looked, shorter):
        with pytest.raises(PolicyBusy, match="changed a moment ago"):
            policies_store(proposals=[proposal], actor=person)
    assert stored(policy) == (replace(TERMS, owner="Legal"), 3)
    assert Run.objects.filter(state="awaiting_approval").count() == 0


def test_a_proposal_that_was_decided_meanwhile_is_not_superseded(person: User) -> None:
    policy = agreed(person)
    run = waiting(propose(person, policy, keep_hours=48))
    policy.refresh_from_db()
    looked = policy_prepare(terms=replace(TERMS, keep_hours=24), policy=policy)
    approve(run)
    with pytest.raises(PolicyBusy, match="decided a moment ago"):
        policies_store(proposals=[looked], actor=person)
    assert stored(policy) == (replace(TERMS, keep_hours=48), 3)


def test_each_version_stands_on_the_approval_before_it(person: User) -> None:
    policy = agreed(person)
    propose(person, policy, keep_hours=24 * 500)
    third = stored(policy)[1]
    approve(waiting(propose(person, policy, keep_hours=48)))
    found = {v: policy_approval(policy, v) for v in (1, 2, third, 4)}
    assert found[1] is None
    assert {v: a.version for v, a in found.items() if a} == {2: 2, 3: 2, 4: 4}
    assert {(a.proposed_by, a.approved_by) for a in found.values() if a} == {("ada", "second")}
    policy.refresh_from_db()
    assert policy_approval(policy) == found[4]


def test_the_certificate_names_who_approved_the_terms(person: User) -> None:
    policy = agreed(person)
    propose(person, policy, owner="Legal")
    policy.refresh_from_db()
    run = purge_run(policy=policy, requester=person).run
    assert run is not None
    told = run.certificates.get().body["body"]["policy"]
    assert told["version"] == 3
    assert (told["terms_proposed_by"], told["terms_approved_by"]) == ("ada", "second")
    assert told["terms_approved_in_run"] == Run.objects.get(kind="policy_change").pk


def test_terms_survive_json(person: User) -> None:
    policy = agreed(person, keep_condition=Comparison("kind", "in", ("a", "b")))
    terms = stored(policy)[0]
    assert PolicyTerms.from_json(terms.to_json()) == terms
    assert PolicyTerms.of(policy) == terms
