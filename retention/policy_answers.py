"""What proposals of policies came to, as the result of a command."""

from __future__ import annotations

import sys
import time
from typing import Any

from operations.commands import Result, text_table
from operations.exceptions import Refused
from operations.run_commands import line_asked
from operations.runs.states import RunState
from operations.selectors.runs import run_get
from retention.models.policy import term_words
from retention.presenting import policy_json
from retention.services.policy_change import PolicyAnswer, Proposal
from retention.services.policy_difference import disposition_words


def answers_result(answers: list[PolicyAnswer], *, dry_run: bool) -> Result:
    documents = [_document(answer) for answer in answers]
    document: dict[str, Any] = {"policies": documents, "dry_run": dry_run}
    if len(documents) == 1:
        document["policy"] = documents[0]
    text: list[Any] = [
        text_table("policy", "table", "kept for", "then", "", rows=[_row(a) for a in answers])
    ]
    for answer in answers:
        text += [f"{answer.policy.name}: {reason}" for reason in answer.why]
        text += [f"{answer.policy.name}: CAUTION: {caution}" for caution in answer.cautions]
        if answer.superseded is not None:
            text.append(
                f"{answer.policy.name}: run {answer.superseded.pk}, an earlier proposal, "
                f"{'would be' if dry_run else 'is'} cancelled."
            )
        if answer.still_waits is not None:
            text.append(
                f"{answer.policy.name}: run {answer.still_waits.pk} waits with other terms; "
                f"manage.py run_cancel {answer.still_waits.pk} withdraws it."
            )
    runs = [str(answer.run.pk) for answer in answers if answer.run is not None]
    if runs and not dry_run:
        text.append(f"Another person: manage.py run_approve {' '.join(runs)} --user NAME")
    if dry_run:
        text.append("Nothing was changed.")
    return Result(document, text)


def ask_twice(proposals: list[Proposal], options: dict[str, Any]) -> None:
    """Before terms are proposed at a terminal that empty a table, or the like.

    Raises:
        Refused: the person did not type the table's name.
    """
    if options["no_input"] or options["json"] or not sys.stdin.isatty():
        # The approver is asked in any case.
        return
    for answer in (proposal.answer() for proposal in proposals if not proposal.same_waits):
        if not answer.cautions:
            continue
        table = str(answer.terms.table)
        told = " ".join(answer.cautions)
        if line_asked(f"{answer.terms.name}: {told}\nType {table} to propose it: ") != table:
            raise Refused(f"{table} was not typed: nothing was proposed.")


def wait_decided(answers: list[PolicyAnswer]) -> Result | None:
    """Waits until somebody has decided about every run; a refusal is told with exit code 3."""
    runs = [answer.run for answer in answers if answer.run is not None]
    states = [RunState.AWAITING_APPROVAL, RunState.QUEUED, RunState.RUNNING, RunState.VERIFYING]
    while any(run.current in states for run in runs):
        time.sleep(1)
        runs = [run_get(run.pk) for run in runs]
    undone = [run for run in runs if run.current is not RunState.SUCCEEDED]
    if not undone:
        return None
    return Result(
        {},
        [],
        Refused.exit_code,
        " ".join(f"{run}: {run.current.label.lower()}. {run.decision_reason}" for run in undone),
    )


def _row(answer: PolicyAnswer) -> list[str]:
    terms = answer.terms
    then = disposition_words(terms) if terms.keep_hours is not None or terms.soft_delete else ""
    return [terms.name, str(terms.table), term_words(terms.keep_hours), then, _became(answer)]


def _became(answer: PolicyAnswer) -> str:
    if not answer.why:
        return answer.change
    run = f" (run {answer.run.pk})" if answer.run is not None else ""
    waits = f"waits for approval{run}"
    return f"created, {waits}" if answer.change == "created" else waits


def _document(answer: PolicyAnswer) -> dict[str, Any]:
    return {
        **policy_json(answer.policy),
        "change": answer.change,
        "waits": bool(answer.why),
        "run": answer.run.pk if answer.run is not None else None,
        "why": list(answer.why),
        "cautions": list(answer.cautions),
        "difference": [
            {"what": each.what, "old": each.old or None, "new": each.new}
            for each in answer.difference
        ],
    }
