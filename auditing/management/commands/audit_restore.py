"""manage.py audit_restore TABLE KEY --version N"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.selectors.tracked import tracked_get
from auditing.services.record_restore import Restored, record_restore
from auditing.version_presenting import restored_json, shown
from operations.catalogue.identifiers import quoted
from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import Refused

_DONE = {"insert": "The row is back", "update": "The row was changed back", "nothing": ""}
_WOULD = {"insert": "The row would come back", "update": "The row would be changed back"}


class Command(CustodyCommand):
    help = (
        "Puts a version of a record back, which makes a new version; a deleted row comes back with "
        "its key. A dry run shows the difference, and what is in the way."
    )
    changes = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's own --version, which tells of Django, gives way."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", help="NAME or SCHEMA.NAME")
        parser.add_argument(
            "key", metavar="KEY", help="the key's value; a,b or a JSON array for several columns"
        )
        parser.add_argument(
            "--version",
            dest="number",
            type=int,
            required=True,
            metavar="N",
            help="its number, as audit_history shows it",
        )

    def work(self, **options: Any) -> Result:
        restored = record_restore(
            tracked=tracked_get(options["table"]),
            record_id=options["key"],
            number=options["number"],
            actor=self.actor(options),
            reason=options["reason"],
            dry_run=options["dry_run"],
        )
        document: dict[str, Any] = {"restore": restored_json(restored)}
        text = [*_said(restored), *restored.notes]
        if not options["dry_run"]:
            return Result(document, text)
        document["dry_run"] = True
        text.append("Nothing was changed.")
        if not restored.obstacles:
            return Result(document, text)
        why = "; ".join(each.why for each in restored.obstacles)
        return Result(document, text, Refused.exit_code, f"It cannot be restored: {why}.")


def _said(restored: Restored) -> list[Any]:
    version = restored.version
    name = f"{restored.tracked} {restored.record_id}"
    if restored.action == "nothing":
        return [f"{name} is what it was in version {version.number} already."]
    words = _WOULD if restored.dry_run else _DONE
    said = f"{words[restored.action]}: {name} as in version {version.number}."
    as_was = f"version {version.number}"
    if restored.action == "insert":
        short_rows = [[quoted(each.name), shown(each.restored)] for each in restored.differences]
        return [said, text_table("column", as_was, rows=short_rows)]
    rows = [
        [quoted(each.name), shown(each.live), shown(each.restored)] for each in restored.differences
    ]
    now = "now" if restored.dry_run else "before"
    return [said, text_table("column", now, as_was, rows=rows)]
