"""A night's work, as beat would do it, and what it came to in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from auditing.services.audit_seal import audit_seal
from config.demo.agreed import APPROVER, PROPOSER, policies_agree
from operations.catalogue.read import table as read_table
from operations.models import Certificate, Run
from operations.runs.present import run_json
from operations.runs.states import RunState
from operations.selectors.certificates import certificate_check
from retention.models import Archive, RetentionPolicy
from retention.presenting import archive_json
from retention.selectors.policies import policies_runnable, policy_approval
from retention.services.archive_verify import archive_verify
from retention.services.purge_start import purge_run


@dataclass
class Night:
    table: list[list[str]] = field(default_factory=list)
    """A row for people a policy: name, table, term, approver, rows before, removed, disposition."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    archives: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 1 if self.problems else 0

    @property
    def problem(self) -> str:
        return " ".join(self.problems)


def night_work(*, actor: User, on_progress: Callable[[Run], None]) -> Night:
    """Purges by every policy, verifies what it wrote, and seals the audit log."""
    night = Night()
    policies_agree()
    for policy in policies_runnable():
        _purge(night, policy, actor, on_progress)
    night.table += [
        [policy.name, str(policy.table), policy.term, "", "", "", "kept"]
        for policy in RetentionPolicy.objects.filter(keep_hours=None)
    ]
    _verify(night)
    _seal(night)
    return night


def _seal(night: Night) -> None:
    sealed = audit_seal()
    night.sentences.append(
        f"The audit log is sealed up to now: {sealed.leaves:,} rows "
        f"since the last time, signed, and anchored in {settings.CUSTODY_ANCHORS}. "
        "`manage.py audit_verify` says whether anybody changed one of them since."
    )


def _purge(
    night: Night, policy: RetentionPolicy, actor: User, on_progress: Callable[[Run], None]
) -> None:
    before = read_table(policy.table).estimated_rows
    answer = purge_run(
        policy=policy, requester=actor, reason="the night's work", on_progress=on_progress
    )
    run = answer.run
    if run is None:
        night.problems.append(f"{policy.name}: {answer.refusal}")
        return
    night.runs.append(run_json(run))
    if run.current is not RunState.SUCCEEDED:
        night.problems.append(f"{run} is {run.current.label.lower()}. {run.error}".strip())
    became = _became(run)
    approval = policy_approval(policy)
    night.table.append(
        [
            policy.name,
            str(policy.table),
            policy.term,
            approval.approved_by if approval is not None else "",
            f"about {before:,}",
            f"{run.done:,}",
            became,
        ]
    )


def _became(run: Run) -> str:
    if not run.done:
        return "nothing was due"
    if run.result.get("archive"):
        size = run.result["archive_bytes"] / 1024
        return f"archived, {size:,.0f} KiB; certificate {run.result['certificate']}"
    return f"destroyed; certificate {run.result['certificate']}"


def _verify(night: Night) -> None:
    for archive in Archive.objects.filter(state=Archive.State.COMPLETE):
        checked = archive_verify(archive=archive)
        night.archives.append({**archive_json(archive), "ok": checked.ok})
        night.problems += [f"{archive.name}: {problem}" for problem in checked.problems]
    for certificate in Certificate.objects.all():
        outcome = certificate_check(certificate)
        night.certificates.append(certificate.number)
        night.problems += [f"{certificate.number}: {problem}" for problem in outcome.problems]
    removed = sum(run["done"] for run in night.runs)
    rows = sum(archive["rows"] for archive in night.archives)
    night.sentences = [
        f"{PROPOSER} proposed the policies, and {APPROVER} approved each that removes rows.",
        f"{removed:,} rows reached the end of their term this time and are gone from the database.",
        f"{len(night.archives)} archives hold {rows:,} rows; every part was read back and is what "
        "was written."
        if not night.problems
        else "Something was found wrong: " + " ".join(night.problems),
        f"{len(night.certificates)} signed certificates say so; all signatures verify.",
        f"Archives and certificates lie in {settings.CUSTODY_STORAGE}.",
    ]
