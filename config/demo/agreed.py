"""The demonstration's policies: one person proposes them, another approves."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User

from operations.acting import acting, person_fields
from operations.models import Run
from operations.runs.kinds import run_kind
from operations.runs.states import OPEN
from operations.services.run_approve import run_approve_and_execute
from retention.models import RetentionPolicy
from retention.selectors.policies import POLICY_CHANGE
from retention.services.policy_file import policy_file_read
from retention.services.policy_import import policy_import

POLICIES = Path(__file__).with_name("policies.yaml")
PROPOSER, APPROVER = "officer", "operator"
REASON = "the retention schedule of the shop"
AGREED = "as agreed"


def policies_agree() -> None:
    """Brings the policies into force where there are none yet. Killed between, it goes on."""
    proposer, approver = (User.objects.get(username=name) for name in (PROPOSER, APPROVER))
    if not RetentionPolicy.objects.exists():
        with acting(**person_fields(proposer), reason=REASON):
            policy_import(entries=policy_file_read(POLICIES), actor=proposer, reason=REASON)
    for run in Run.objects.filter(
        kind=POLICY_CHANGE, state__in=OPEN, requester=proposer, reason=REASON
    ):
        with acting(**person_fields(approver), reason=AGREED):
            run_approve_and_execute(
                run_id=run.pk,
                approver=approver,
                reason=AGREED,
                confirm=run_kind(run.kind).confirm_text(run.plan),
            )
