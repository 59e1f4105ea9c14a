"""manage.py record_find TEXT"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.names import parse_table_name
from operations.catalogue.read import table_name_resolve
from operations.catalogue.types import TableName
from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError
from operations.find_presenting import (
    found_json,
    found_lines,
    missed_lines,
    more_line,
    summary_line,
)
from operations.finding import standings
from operations.services.record_find import LIMIT, LONGEST, SECONDS, Found, record_find

MOST = 1_000


class Command(CustodyCommand):
    help = (
        "Finds a record wherever it is: live, in the bin, in the history, in an archive; by a "
        "name, a mail address, a telephone, a number, a day or an id. Each is told with the one "
        "command that brings it back, and whether a hold keeps it."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("text", metavar="TEXT", help="what is known of it")
        parser.add_argument(
            "--table",
            action="append",
            default=[],
            metavar="TABLE",
            help="only records of this table, NAME or SCHEMA.NAME; again",
        )
        parser.add_argument(
            "--only",
            choices=[each.kind for each in standings()],
            default="",
            help="only what stands there; else each has its share of the records that are told",
        )
        parser.add_argument(
            "--limit", type=int, default=LIMIT, metavar="N", help=f"records; {LIMIT} by itself"
        )
        parser.add_argument(
            "--seconds",
            type=float,
            default=SECONDS,
            metavar="S",
            help=f"stop after so many and say what was not looked at; {SECONDS:g} by itself",
        )

    def work(self, **options: Any) -> Result:
        if not 1 <= options["limit"] <= MOST:
            raise UsageError(f"--limit is a number of records, 1 to {MOST:,}.")
        if not 0 < options["seconds"] <= LONGEST:
            raise UsageError(f"--seconds is a number up to {LONGEST:g}.")
        found = record_find(
            options["text"],
            tables=[_table(name) for name in options["table"]],
            only=options["only"] or "",
            limit=options["limit"],
            seconds=options["seconds"],
        )
        if found.problem:
            raise UsageError(found.problem)
        return Result({"find": found_json(found)}, [*_text(found)])


def _table(text: str) -> TableName:
    """Of a table that is gone there may be history and archives still."""
    try:
        return table_name_resolve(text)
    except NoSuchTable:
        schema, name = parse_table_name(text)
        if schema is None:
            raise
        return TableName(schema, name)


def _text(found: Found) -> list[str]:
    lines = [*found_lines(found), summary_line(found)]
    if more := more_line(found):
        lines.append(more)
    lines += missed_lines(found)
    if any(each.why == "there was no time" for each in found.missed):
        lines.append("--seconds looks longer.")
    return lines
