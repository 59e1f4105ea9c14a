"""manage.py policy_import FILE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from retention.policy_answers import answers_result, ask_twice, wait_decided
from retention.services.policy_change import policies_store
from retention.services.policy_file import KEYS, policy_file_read
from retention.services.policy_import import policy_import_prepare


class Command(CustodyCommand):
    help = (
        "Reads retention policies from a JSON or YAML file: a list of entries with "
        f"{', '.join(KEYS)}. What would destroy more than before waits for another person."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument(
            "--wait", action="store_true", help="wait for another person's approval"
        )

    def work(self, **options: Any) -> Result:
        entries = policy_file_read(options["file"])
        actor = self.actor(options)
        proposals = policy_import_prepare(entries=entries, dry_run=options["dry_run"])
        if options["dry_run"]:
            return answers_result([each.answer() for each in proposals], dry_run=True)
        ask_twice(proposals, options)
        answers = policies_store(proposals=proposals, actor=actor, reason=options["reason"])
        result = answers_result(answers, dry_run=False)
        refused = wait_decided(answers) if options["wait"] else None
        if refused is None:
            return result
        return Result(result.document, result.text, refused.exit_code, refused.problem)
