"""manage.py policy_preview POLICY ... | --file FILE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError
from retention.models import RetentionPolicy
from retention.preview_text import preview_text
from retention.selectors.policies import policies_named
from retention.services.policy_file import policy_file_read
from retention.services.policy_import import policy_import_prepare
from retention.services.purge_preview import policy_preview


class Command(CustodyCommand):
    help = (
        "Shows what a purge by a policy would take, keep and leave behind. Takes five seconds a "
        "policy at most; what cannot be counted by then is estimated, and says so. Changes nothing."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policies", nargs="*", metavar="POLICY", help="its name, or its table")
        parser.add_argument(
            "--file",
            type=Path,
            metavar="FILE",
            help="policies of a file that policy_import would take, as they would be",
        )

    def work(self, **options: Any) -> Result:
        previews = [policy_preview(policy=policy) for policy in _policies(options)]
        documents = [preview.to_json() for preview in previews]
        document: dict[str, Any] = {"previews": documents}
        if len(documents) == 1:
            document["preview"] = documents[0]
        text = [line for preview in previews for line in preview_text(preview)]
        refused = [preview.policy for preview in previews if preview.refusals]
        if refused:
            problem = f"A purge would be refused: {', '.join(refused)}."
            return Result(document, text, 3, problem)
        return Result(document, text)


def _policies(options: dict[str, Any]) -> list[RetentionPolicy]:
    named, file = options["policies"], options["file"]
    if bool(named) is (file is not None):
        raise UsageError("Name policies, or a file with --file.")
    if file is None:
        return policies_named(named)
    proposals = policy_import_prepare(entries=policy_file_read(file), dry_run=True)
    return [RetentionPolicy(**proposal.terms.to_json()) for proposal in proposals]
