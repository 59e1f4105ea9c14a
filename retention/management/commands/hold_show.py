"""manage.py hold_show CASE"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from retention.hold_presenting import amount_json, hold_json, named_count, scope_words
from retention.selectors.hold_counts import rows_held_by
from retention.selectors.holds import hold_get


class Command(CustodyCommand):
    help = "Shows a legal hold: what it protects now, and its history."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("case", metavar="CASE")

    def work(self, **options: Any) -> Result:
        hold = hold_get(options["case"])
        held = rows_held_by(hold)
        history = [
            {
                "at": entry.history_date,
                "by": str(entry.history_user or ""),
                "why": entry.history_change_reason or "",
            }
            for entry in hold.history.select_related("history_user").order_by("history_id")
        ]
        scopes = [
            {"named": named_count(each.scope), "trouble": each.trouble, **amount_json(each.rows)}
            for each in held
        ]
        document = hold_json(hold)
        for scope, more in zip(document["scopes"], scopes, strict=True):
            scope["now"] = more
        lines: list[Any] = [
            f"The {hold} is {document['state']}. {hold.reason}",
            text_table(
                "what it holds",
                "rows now",
                "trouble",
                rows=[[scope_words(each.scope), str(each.rows), each.trouble] for each in held],
                right=frozenset({1}),
            ),
            *[f"{entry['at']:%Y-%m-%d %H:%M} {entry['by']}: {entry['why']}" for entry in history],
        ]
        return Result({"hold": document, "history": history}, lines)
