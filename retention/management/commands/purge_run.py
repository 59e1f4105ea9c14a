"""manage.py purge_run [POLICY ...]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import CustodyError
from retention.models import RetentionPolicy
from retention.purge_answers import answers_result, with_refusals
from retention.selectors.policies import policies_named
from retention.services.purge_start import purge_preview, purge_run


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
        with self.run_progress(options, "purge") as bar:
            answers = [
                purge_run(
                    policy=policy,
                    requester=actor,
                    reason=options["reason"],
                    wait=options["wait"],
                    on_progress=bar,
                )
                for policy in policies
            ]
        return answers_result(answers)

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
        document: dict[str, Any] = {"dry_run": True, "plans": plans}
        if len(plans) == 1:
            document["plan"] = plans[0]
        text: list[Any] = [
            text_table(
                "policy",
                "table",
                "due",
                "what becomes of them",
                "older than",
                "walked by",
                rows=lines,
                right=frozenset({2}),
            ),
            "Nothing was changed.",
        ]
        return with_refusals(document, text, refused, failed=False)
