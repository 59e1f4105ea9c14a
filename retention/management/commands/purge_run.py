"""manage.py purge_run [POLICY ...]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.present import run_json, run_line
from operations.runs.states import RunState
from retention.models import RetentionPolicy
from retention.selectors.policies import policies_named
from retention.services.purge_start import PurgeAnswer, purge_preview, purge_run


class Command(CustodyCommand):
    help = (
        "Archives and deletes the rows whose term has ended, for the named policies or for all "
        "enabled ones. A run that was killed or paused goes on where it was."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policies", nargs="*", metavar="POLICY")
        parser.add_argument(
            "--wait", action="store_true", help="wait for another person's approval"
        )

    def work(self, **options: Any) -> Result:
        policies = policies_named(options["policies"])
        if options["dry_run"]:
            return self._preview(policies)
        actor = self.actor(options)
        answers = []
        with self.run_progress(options, "purge") as bar:
            for policy in policies:
                answers.append(
                    purge_run(
                        policy=policy,
                        requester=actor,
                        reason=options["reason"],
                        wait=options["wait"],
                        on_progress=bar,
                    )
                )
        return _result(answers)

    def _preview(self, policies: list[RetentionPolicy]) -> Result:
        plans, refused, lines = [], [], []
        for policy in policies:
            try:
                plan = purge_preview(policy=policy)
            except CustodyError as error:
                refused.append({"policy": policy.name, "why": str(error)})
                continue
            plans.append(plan.facts)
            lines.append(
                [
                    policy.name,
                    plan.facts["table"],
                    f"{plan.facts['due']:,}" + ("~" if plan.facts["estimated"] else ""),
                    plan.facts["disposition"],
                    plan.facts["cutoff"][:16],
                    plan.facts["walk"]["by"],
                ]
            )
        document: dict[str, Any] = {"dry_run": True, "plans": plans, "refused": refused}
        if len(plans) == 1:
            document["plan"] = plans[0]
        text: list[Any] = [
            text_table(
                "policy", "table", "due", "what becomes of them", "older than", "walked by",
                rows=lines, right=frozenset({2}),
            ),
            "Nothing was changed.",
        ]
        text += [f"{each['policy']}: {each['why']}" for each in refused]
        return _with_refusals(document, text, refused, failed=False)


def _result(answers: list[PurgeAnswer]) -> Result:
    runs = [answer.run for answer in answers if answer.run is not None]
    refused = [
        {"policy": answer.policy.name, "why": answer.refusal}
        for answer in answers
        if answer.refusal
    ]
    document: dict[str, Any] = {"runs": [run_json(run) for run in runs], "refused": refused}
    if len(runs) == 1:
        document["run"] = document["runs"][0]
    text: list[Any] = [_told(run) for run in runs]
    text += [f"{each['policy']}: {each['why']}" for each in refused]
    failed = any(run.current in (RunState.FAILED, RunState.CANCELLED) for run in runs)
    return _with_refusals(document, text, refused, failed=failed)


def _told(run: Run) -> str:
    line = run_line(run)
    if run.result.get("archive"):
        line += f"; archive {run.result['archive']}"
    if run.result.get("certificate"):
        line += f"; certificate {run.result['certificate']}"
    return line


def _with_refusals(
    document: dict[str, Any], text: list[Any], refused: list[dict[str, str]], *, failed: bool
) -> Result:
    if failed:
        return Result(document, text, 1, "A run failed: see above, and manage.py run_show RUN.")
    if refused:
        names = ", ".join(each["policy"] for each in refused)
        return Result(document, text, 3, f"Refused: {names}.")
    return Result(document, text)
