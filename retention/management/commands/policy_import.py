"""manage.py policy_import FILE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from retention.presenting import policy_json
from retention.services.policy_import import policy_file_read, policy_import


class Command(CustodyCommand):
    help = (
        "Reads retention policies from a JSON or YAML file: a list of {table, retentionDays, "
        "softDelete, archiveBeforeDelete, excludeCondition, ageColumn}."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)

    def work(self, **options: Any) -> Result:
        imported = policy_import(
            entries=policy_file_read(options["file"]),
            actor=self.actor(options),
            reason=options["reason"],
            dry_run=options["dry_run"],
        )
        documents = [{**policy_json(each.policy), "change": each.change} for each in imported]
        document: dict[str, Any] = {"policies": documents, "dry_run": options["dry_run"]}
        if len(documents) == 1:
            document["policy"] = documents[0]
        rows = [
            [
                each.policy.name,
                str(each.policy.table),
                each.policy.term,
                _then(each.policy),
                each.change,
            ]
            for each in imported
        ]
        text: list[Any] = [
            text_table("policy", "table", "kept for", "then", "", rows=rows),
            *[
                f"{each.policy.name} deletes softly first, which this version cannot do yet: "
                "it waits, and no purge touches its rows."
                for each in imported
                if each.policy.soft_delete
            ],
        ]
        if options["dry_run"]:
            text.append("Nothing was changed.")
        return Result(document, text)


def _then(policy: Any) -> str:
    if policy.keeps_for_ever:
        return ""
    return "archived" if policy.archive_first else "destroyed"
