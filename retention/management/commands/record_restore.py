"""manage.py record_restore DELETION"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from operations.catalogue.read import table_name_resolve
from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import UsageError
from retention.deletion_presenting import restored_json, rows_words
from retention.services.record_restore import (
    Choice,
    ChosenRow,
    RestoreConflicts,
    RestoredDeletion,
    record_restore,
)


class Command(CustodyCommand):
    help = "Restores a deletion, whole or in part, with the references that it had set."
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("deletion", type=int, metavar="DELETION")
        parser.add_argument(
            "--only",
            nargs=2,
            action="append",
            metavar=("TABLE", "KEY"),
            help="only this record, with what hangs on it and what it needs; may be repeated",
        )
        parser.add_argument(
            "--alone", action="store_true", help="with --only: without what hangs on it"
        )
        parser.add_argument(
            "--parents", action="store_true", help="also what it needs from other deletions"
        )
        parser.add_argument(
            "--skip",
            nargs=2,
            action="append",
            metavar=("TABLE", "KEY"),
            help="leave this record, and what hangs on it, in the bin; may be repeated",
        )
        parser.add_argument(
            "--set",
            nargs=3,
            action="append",
            metavar=("TABLE", "KEY", "COLUMN=VALUE"),
            help="give this record another value first; may be repeated",
        )

    def work(self, **options: Any) -> Result:
        only = options["only"]
        if options["alone"] and not only:
            raise UsageError("--alone belongs to --only TABLE KEY.")
        try:
            found = record_restore(
                deletion_id=options["deletion"],
                rows=[ChosenRow(_table(table), key, not options["alone"]) for table, key in only]
                if only
                else None,
                choices=[
                    *[Choice(_table(table), key, "skip") for table, key in options["skip"] or ()],
                    *_values(options["set"] or ()),
                ],
                parents=options["parents"],
                actor=self.actor(options),
                reason=options["reason"],
                dry_run=options["dry_run"],
            )
        except RestoreConflicts as error:
            return _conflicts(error.found)
        return _conflicts(found) if found.conflicts else _told(found)


def _table(text: str) -> str:
    """Its whole name. Raises NoSuchTable."""
    return str(table_name_resolve(text))


def _values(given: list[list[str]] | tuple[()]) -> list[Choice]:
    """Several values of one record are one choice."""
    found: dict[tuple[str, str], dict[str, str | None]] = {}
    for table, key, assignment in given:
        column, equals, value = assignment.partition("=")
        if not equals or not column:
            raise UsageError(f"{assignment!r} is no COLUMN=VALUE.")
        found.setdefault((_table(table), key), {})[column] = value
    return [Choice(table, key, "set", values) for (table, key), values in found.items()]


def _conflicts(found: RestoredDeletion) -> Result:
    return Result(
        {"restore": restored_json(found)},
        [each.sentence for each in found.conflicts],
        exit_code=3,
        problem=(
            f"Deletion {found.deletion.pk} cannot be restored as it is; nothing was changed. "
            "See --skip, --set and --parents."
        ),
    )


def _told(found: RestoredDeletion) -> Result:
    verb = "would come" if found.dry_run else "came"
    lines: list[Any] = [
        f"{rows_words(found.rows)} {verb} back:",
        text_table(
            "table",
            "rows",
            rows=[[table, f"{rows:,}"] for table, rows in found.tables],
            right=frozenset({1}),
        ),
    ]
    if found.references_back:
        lines.append(f"References put back: {found.references_back:,}")
    if found.references_changed:
        lines.append(
            f"References that somebody has set since, left as they are: "
            f"{found.references_changed:,}"
        )
    if found.references_gone:
        lines.append(f"References of rows that are gone: {found.references_gone:,}")
    if found.left_id is not None and not found.dry_run:
        lines.append(f"What was left in the bin is deletion {found.left_id}.")
    if found.dry_run:
        lines.append("Nothing was changed.")
    return Result({"restore": restored_json(found)}, lines)
