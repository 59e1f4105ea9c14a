"""Everything that the page of one policy shows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from operations.admin.show import STATE_COLOURS, badge, when
from operations.models import Run
from operations.runs.states import RunState
from retention.admin.hold_facts import hold_facts
from retention.admin.policy_diff import changes_proposed
from retention.admin.policy_edit import PROPOSE
from retention.admin.policy_list import works
from retention.admin.policy_waiting import may_withdraw
from retention.admin.policy_words import facts, sentence
from retention.admin.purge_now import may_run
from retention.models import Archive, RetentionPolicy
from retention.selectors.policies import policy_approval, policy_waiting
from retention.services.policy_check import policy_findings

LAST = 10
"""Runs and archives that the page shows."""


def policy_page(request: HttpRequest, policy: RetentionPolicy) -> dict[str, Any]:
    change = policy_waiting(policy)
    return {
        "policy": policy,
        "badges": [badge("In force", "success") if policy.enabled else badge("Off")],
        "sentence": sentence(policy),
        "facts": [
            *facts(policy),
            *hold_facts(policy.table, request.user, using=policy.database),
        ],
        "approval": policy_approval(policy),
        "findings": list(policy_findings(policy)),
        "waiting": _waiting(request, change) if change is not None else None,
        "may_propose": request.user.has_perm(PROPOSE),
        "may_run": may_run(request.user),
        "can_run": works(policy),
        "runs": [
            (run, STATE_COLOURS[run.state], when(run.created_at))
            for run in Run.objects.filter(kind="purge", subject=policy.name)
            .select_related("requester")
            .defer("parameters", "plan", "cursor", "result")[:LAST]
        ],
        "archives": [
            (archive, when(archive.expires_at, empty="for ever"))
            for archive in Archive.objects.filter(policy=policy).defer("layout")[:LAST]
        ],
    }


def _waiting(request: HttpRequest, run: Run) -> dict[str, Any]:
    failed = run.current is RunState.FAILED
    return {
        "run": run,
        "failed": failed,
        "url": reverse("admin:operations_run_change", args=[run.pk]),
        "asked": when(run.created_at),
        "changes": changes_proposed(run),
        "may_withdraw": may_withdraw(run, request.user),
    }
