"""manage.py deletion_list"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.catalogue.read import table_name_resolve
from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import UsageError
from retention.deletion_presenting import deletion_json, deletion_words
from retention.models import Deletion
from retention.selectors.deletion_roots import deletion_root_of_each
from retention.selectors.deletions import DeletionFilter, deletion_rows_now, deletions_list
from retention.selectors.row_texts import RowText


class Command(CustodyCommand):
    help = "Shows what is in the bin, newest first; with --state what was restored or destroyed."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--table", metavar="TABLE", help="only those that began in this table")
        parser.add_argument(
            "--state",
            choices=[*(state.value for state in Deletion.State), "all"],
            default=Deletion.State.DELETED.value,
        )
        parser.add_argument("--by", default="", metavar="TEXT", help="who deleted, or a part of it")
        parser.add_argument("--before", type=int, metavar="DELETION", help="older than this one")
        parser.add_argument("--limit", type=int, default=50, metavar="N")

    def work(self, **options: Any) -> Result:
        wanted = DeletionFilter(
            state="" if options["state"] == "all" else options["state"],
            table=table_name_resolve(options["table"]) if options["table"] else None,
            actor=options["by"],
        )
        limit = options["limit"]
        if limit < 1:
            raise UsageError("--limit is a number of deletions, from 1 on.")
        found = list(deletions_list(wanted, before=options["before"], limit=limit + 1))
        older, found = len(found) > limit, found[:limit]
        roots = deletion_root_of_each(found)
        document = {"deletions": [deletion_json(each, roots.get(each.pk)) for each in found]}
        if not found:
            return Result(document, ["There is no such deletion."])
        text: list[Any] = [
            text_table(
                "deletion",
                "what",
                "table",
                "rows",
                "deleted",
                "by",
                "state",
                "until",
                rows=[_row(each, roots.get(each.pk)) for each in found],
                right=frozenset({0, 3}),
            )
        ]
        if older:
            text.append(f"Older ones: --before {found[-1].pk}")
        return Result(document, text)


def _row(deletion: Deletion, root: RowText | None) -> list[str]:
    return [
        str(deletion.pk),
        deletion_words(deletion, root),
        str(deletion.table),
        f"{deletion_rows_now(deletion):,}",
        f"{deletion.deleted_at:%Y-%m-%d %H:%M}",
        deletion.actor,
        deletion.current.label.lower(),
        f"{deletion.purge_after:%Y-%m-%d}"
        if deletion.purge_after and deletion.current is Deletion.State.DELETED
        else "",
    ]
