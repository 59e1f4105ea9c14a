"""manage.py audit_log [filters]"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from auditing.models import ChangeStatement, Operation
from auditing.selectors.log_filter import LogFilter
from auditing.selectors.log_page import log_page
from auditing.selectors.tracked import tracked_get
from auditing.services.statement_summarise import statement_summarise
from auditing.version_presenting import reason_of, short, statement_json
from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError

_PAGE = 500
_OPERATIONS = {
    each.label.lower(): each.value
    for each in (
        Operation.INSERT,
        Operation.UPDATE,
        Operation.DELETE,
        Operation.TRUNCATE,
        Operation.PURGE,
    )
}


class Command(CustodyCommand):
    help = (
        "Shows who changed what, when and why: a line for each statement, the newest first. It "
        "streams, so the log may be of any length."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--table", metavar="TABLE", help="only changes of this table")
        parser.add_argument(
            "--user",
            dest="by",
            metavar="WHO",
            default="",
            help="an actor (app:4711, console:ada, db:shop), its name alone, or a mail address",
        )
        parser.add_argument("--operation", choices=sorted(_OPERATIONS), help="only of this kind")
        parser.add_argument("--since", metavar="TIME", help="not before this, as 2026-11-25 14:00")
        parser.add_argument("--until", metavar="TIME", help="before this")
        parser.add_argument("--request", metavar="ID", default="", help="of this request")
        parser.add_argument(
            "--reason", metavar="WORDS", default="", help="with these in the reason"
        )
        parser.add_argument("--limit", type=int, metavar="N", help="no more than N statements")

    def work(self, **options: Any) -> Result:
        if options["limit"] is not None and options["limit"] < 1:
            raise UsageError("--limit is a number of statements, 1 or more.")
        asked = LogFilter(
            table=str(tracked_get(options["table"])) if options["table"] else "",
            operation=_OPERATIONS[options["operation"]] if options["operation"] else "",
            user=options["by"],
            since=moment(options["since"], "--since"),
            until=moment(options["until"], "--until"),
            request_id=options["request"],
            reason=options["reason"],
        )
        statement_summarise()
        found = _statements(asked, options["limit"])
        if options["json"]:
            self._documents(found)
        else:
            self._lines(found)
        return Result({}, told=True)

    def _documents(self, found: Iterator[ChangeStatement]) -> None:
        """One document, written as the statements come: there may be more of them than memory."""
        self.stdout.write('{"statements": [', ending="")
        separator = "\n"
        for statement in found:
            document = json.dumps(statement_json(statement), cls=DjangoJSONEncoder)
            self.stdout.write(f"{separator}{document}", ending="")
            separator = ",\n"
        self.stdout.write("]}")

    def _lines(self, found: Iterator[ChangeStatement]) -> None:
        some = False
        for statement in found:
            some = True
            self.stdout.write(_line(statement))
        if not some:
            self.stdout.write("Nothing in the audit log is like that.")


def _statements(asked: LogFilter, limit: int | None) -> Iterator[ChangeStatement]:
    before, left = None, limit
    while True:
        page = log_page(asked, before=before, size=min(_PAGE, left or _PAGE))
        yield from page.statements
        if left is not None:
            left -= len(page.statements)
        if page.older is None or left == 0:
            return
        before = page.older


def _line(statement: ChangeStatement) -> str:
    rows = f"{statement.rows:,} row{'' if statement.rows == 1 else 's'}"
    what = f"{Operation(statement.operation).label.lower()} of {rows} in {statement.tracked}"
    changed = f" ({', '.join(statement.changed)})" if statement.changed else ""
    claimed = " (claimed)" if statement.context and statement.context.claimed else ""
    reason = f": {short(reason)}" if (reason := reason_of(statement)) else ""
    return (
        f"{statement.at:%Y-%m-%d %H:%M:%S}  {statement.pk}  {statement.actor}{claimed}  "
        f"{what}{changed}{reason}"
    )


def moment(text: str | None, option: str) -> datetime | None:
    """A time as people write it; without an offset in the console's time zone."""
    if not text:
        return None
    try:
        found = parse_datetime(text)
        if found is None and (day := parse_date(text)) is not None:
            found = datetime(day.year, day.month, day.day)  # noqa: DTZ001
    except ValueError:
        found = None
    if found is None:
        raise UsageError(f"{option} {text!r}: write 2026-11-25 or 2026-11-25 14:02:00.")
    return found if timezone.is_aware(found) else timezone.make_aware(found)
