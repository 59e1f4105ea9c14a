"""manage.py archive_search [ARCHIVE ...] [--table TABLE] [--where CONDITION]"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import UsageError
from retention.models import Archive
from retention.presenting import archive_json
from retention.selectors.archives import archive_get, archive_list
from retention.services.archive_search import ArchiveSearch, FoundRow

_SHOWN = 100
"""Rows that a person is shown without being asked."""
_WIDEST = 48
_COLUMNS = 7
"""Up to so many, rows stand in a table; with more, each row is a list of its columns."""


class Command(CustodyCommand):
    help = (
        'Finds rows in archives by a condition on their columns, as SQL: --where "email = '
        "'ada@example.org'\". Nothing is unpacked; the table itself need not exist any more."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "archives", nargs="*", metavar="ARCHIVE", help="names, or how they begin"
        )
        parser.add_argument("--table", metavar="TABLE", help="all archives of this table")
        parser.add_argument("--where", metavar="CONDITION", default="", help="as a policy's")
        parser.add_argument(
            "--limit", type=int, metavar="N", help=f"stop after N rows ({_SHOWN} without --json)"
        )
        parser.add_argument("--count", action="store_true", help="only how many rows match")

    def work(self, **options: Any) -> Result:
        if options["limit"] is not None and options["limit"] < 1:
            raise UsageError("--limit is a number of rows, 1 or more.")
        archives = _archives(options)
        limit = options["limit"]
        if limit is None and not options["json"] and not options["count"]:
            limit = _SHOWN
        search = ArchiveSearch(archives, options["where"], limit, only_named=not options["table"])
        ready = search.prepare()
        with self.run_progress(options, "archive_search") as bar:
            if options["count"]:
                return _counted(search, search.count(ready, on_part=bar.amount))
            found = search.rows(ready, on_part=bar.amount)
            if options["json"]:
                return self._stream(search, found)
            return _shown(search, list(found))

    def _stream(self, search: ArchiveSearch, found: Iterator[FoundRow]) -> Result:
        """One document, written as the rows come: there may be more of them than memory."""
        names = [archive_json(archive) for archive in search.archives]
        head = json.dumps(names, cls=DjangoJSONEncoder)
        self.stdout.write(f'{{"archives": {head},\n"rows": [', ending="")
        separator = "\n"
        for row in found:
            place = json.dumps({"archive": row.archive.name, "row": row.place})
            self.stdout.write(f'{separator}{place[:-1]}, "values": {row.values}}}', ending="")
            separator = ",\n"
        rest = json.dumps(_outcome(search), cls=DjangoJSONEncoder)
        self.stdout.write(f"],\n{rest[1:]}")
        code, problem = _problem(search)
        return Result({}, [], code, problem, told=True)


def _archives(options: dict[str, Any]) -> list[Archive]:
    if bool(options["archives"]) == bool(options["table"]):
        raise UsageError("Say which archives: their names, or --table for all of one table's.")
    if options["archives"]:
        found = [archive_get(name) for name in options["archives"]]
        return list({archive.pk: archive for archive in found}.values())
    return list(archive_list(table=options["table"]).order_by("id"))


def _outcome(search: ArchiveSearch) -> dict[str, Any]:
    return {
        "matched": search.matched,
        "complete": search.complete,
        "skipped": [{"archive": each.name, "why": why} for each, why in search.skipped],
        "failed": [{"archive": each.name, "why": why} for each, why in search.failed],
    }


def _problem(search: ArchiveSearch) -> tuple[int, str]:
    if not search.failed:
        return 0, ""
    names = ", ".join(archive.name for archive, _ in search.failed)
    return 1, f"Not read to the end: {names}. Rows of it may be missing above."


def _counted(search: ArchiveSearch, counts: dict[str, int]) -> Result:
    document = {
        "archives": [archive_json(archive) for archive in search.archives],
        "counts": counts,
        **_outcome(search),
    }
    rows = [[name, f"{count:,}"] for name, count in counts.items()]
    text: list[Any] = [text_table("archive", "rows that match", rows=rows, right=frozenset({1}))]
    return Result(document, [*text, *_said(search)], *_problem(search))


def _shown(search: ArchiveSearch, found: list[FoundRow]) -> Result:
    text: list[Any] = []
    for archive in dict.fromkeys(row.archive for row in found):
        text.append(f"{archive.name}  ({archive.schema_name}.{archive.table_name})")
        text += _rows(archive, [row for row in found if row.archive == archive])
    return Result(_outcome(search), [*text, *_said(search)], *_problem(search))


def _rows(archive: Archive, found: list[FoundRow]) -> list[Any]:
    names = [column["name"] for column in archive.layout["columns"]]
    if len(names) <= _COLUMNS:
        rows = [[row.place, *map(_cell, row.texts)] for row in found]
        return [text_table("row", *names, rows=rows)]
    width = max(map(len, names))
    lines: list[Any] = []
    for row in found:
        lines.append(f"row {row.place}")
        lines += [
            f"  {name:<{width}}  {_cell(text)}"
            for name, text in zip(names, row.texts, strict=True)
            if text is not None
        ]
    return lines


def _cell(text: str | None) -> str:
    if text is None:
        return ""
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"


def _said(search: ArchiveSearch) -> list[Any]:
    rows = f"{search.matched:,} row{'' if search.matched == 1 else 's'}"
    asked = len(search.archives) - len(search.skipped)
    if search.complete or search.failed:
        left_out = {archive.pk for archive, _ in search.skipped}
        total = sum(each.rows for each in search.archives if each.pk not in left_out)
        said = f"{rows} of {total:,} in {asked:,} archive{'' if asked == 1 else 's'}."
    else:
        said = f"{rows}, and there may be more: --limit shows more, --count counts them."
    notes = [f"Left out: {archive.name}: {why}" for archive, why in search.skipped]
    notes += [f"Failed: {archive.name}: {why}" for archive, why in search.failed]
    return [said, *notes]
