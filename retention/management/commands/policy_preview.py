"""manage.py policy_preview POLICY ..."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from retention.preview_text import preview_text
from retention.selectors.policies import policies_named
from retention.services.purge_preview import policy_preview


class Command(CustodyCommand):
    help = (
        "Shows what a purge by a policy would take, keep and leave behind. Takes five seconds a "
        "policy at most; what cannot be counted by then is estimated, and says so. Changes nothing."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policies", nargs="+", metavar="POLICY", help="its name, or its table")

    def work(self, **options: Any) -> Result:
        previews = [policy_preview(policy=policy) for policy in policies_named(options["policies"])]
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
