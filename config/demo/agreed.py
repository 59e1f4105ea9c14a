"""The demonstration's policies: one person proposes them, another approves."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User

from operations.runs.kinds import run_kind
from operations.services.run_approve import run_approve_and_execute
from retention.models import RetentionPolicy
from retention.services.policy_file import policy_file_read
from retention.services.policy_import import policy_import

POLICIES = Path(__file__).with_name("policies.yaml")
PROPOSER, APPROVER = "officer", "operator"


def policies_agree() -> None:
    """Brings the policies into force where there are none yet."""
    if RetentionPolicy.objects.exists():
        return
    proposed = policy_import(
        entries=policy_file_read(POLICIES),
        actor=User.objects.get(username=PROPOSER),
        reason="the retention schedule of the shop",
    )
    approver = User.objects.get(username=APPROVER)
    for run in [answer.run for answer in proposed if answer.run is not None]:
        run_approve_and_execute(
            run_id=run.pk,
            approver=approver,
            reason="as agreed",
            confirm=run_kind(run.kind).confirm_text(run.plan),
        )
