"""The second pair of eyes, for tests that only want policies in force."""

from __future__ import annotations

from django.contrib.auth.models import User

from operations.models import Run
from operations.runs.kinds import run_kind
from operations.services.run_approve import run_approve_and_execute
from retention.models import RetentionPolicy
from retention.services.policy_change import PolicyAnswer
from tests.console import person


def second_person() -> User:
    """Somebody who may approve and has asked for nothing."""
    found = User.objects.filter(username="second").first()
    return found or person("second", role="officer")


def approve(run: Run) -> Run:
    """Approves, and does what is done at once."""
    return run_approve_and_execute(
        run_id=run.pk,
        approver=second_person(),
        confirm=run_kind(run.kind).confirm_text(run.plan),
    )


def in_force(answers: list[PolicyAnswer]) -> list[RetentionPolicy]:
    """The policies of the proposals, after all of them were approved."""
    for answer in answers:
        if answer.run is not None:
            assert approve(answer.run).state == "succeeded"
        answer.policy.refresh_from_db()
        assert answer.policy.enabled == answer.terms.enabled
    return [answer.policy for answer in answers]
