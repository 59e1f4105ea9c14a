"""manage.py purge_run [POLICY ...]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import CustodyError
from retention.models import RetentionPolicy
from retention.preview_presenting import preview_facts
from retention.purge_answers import answers_result, with_refusals
from retention.selectors.policies import policies_named
from retention.selectors.preview_result import PolicyPreview
from retention.services.bin_plan import bin_lines
from retention.services.purge_preview import policy_preview
from retention.services.purge_start import purge_run


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
        previews, refused = [], []
        for policy in policies:
            try:
                preview = policy_preview(policy=policy)
            except CustodyError as error:
                refused.append({"policy": policy.name, "why": str(error)})
                continue
            why = [*preview.refusals, *([] if policy.enabled else preview.notes)]
            if why:
                refused.append({"policy": policy.name, "why": " ".join(why)})
            else:
                previews.append(preview)
        plans = [preview_facts(preview) for preview in previews]
        document: dict[str, Any] = {"dry_run": True, "plans": plans}
        if len(plans) == 1:
            document["plan"] = plans[0]
        text: list[Any] = [
            text_table(
                "policy",
                "table",
                "due",
                "kept",
                "held",
                "what becomes of them",
                "older than",
                "walked by",
                rows=[_line(preview) for preview in previews],
                right=frozenset({2, 3, 4}),
            ),
            *[
                f"{preview.policy}: {note}"
                for preview in previews
                if preview.bin is not None
                for note in bin_lines({"bin": preview.bin.to_json()})
            ],
            *[
                f"{preview.policy}: CAUTION: {caution.text}"
                for preview in previews
                for caution in preview.cautions
            ],
            "Nothing was changed. More of a policy: manage.py policy_preview POLICY",
        ]
        return with_refusals(document, text, refused, failed=False)


def _line(preview: PolicyPreview) -> list[str]:
    counts = preview.counts
    rows = preview.bin.rows if preview.bin is not None else 0
    binned = f"{rows:,} in the bin" if rows else ""
    if counts is None or preview.cutoff is None:
        # Kept for ever, but for what is in the bin.
        return [
            *(preview.policy, preview.table, binned or "0"),
            *("", "", preview.disposition, "", ""),
        ]
    amounts = [counts.get(kind) for kind in ("kept", "undecided", "referenced", "bound")]
    kept = sum(amount.value for amount in amounts if amount is not None)
    held = counts.get("held")
    due = f"{'at most ' if preview.at_most else ''}{counts['due'].about}"
    return [
        preview.policy,
        preview.table,
        f"{due}, {binned}" if binned else due,
        f"{kept:,}",
        held.about if held else "",
        preview.disposition,
        preview.cutoff.isoformat()[:16],
        preview.walk["by"] if preview.walk else "",
    ]
