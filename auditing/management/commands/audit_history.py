"""manage.py audit_history TABLE KEY [--as-of TIME] [--compare N M]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.management.commands.audit_log import moment
from auditing.models import TrackedTable
from auditing.selectors.images import Shape, shape_of
from auditing.selectors.tracked import tracked_get
from auditing.selectors.versions import (
    Version,
    masked_between,
    version_at,
    version_difference,
    version_get,
    versions_of,
)
from auditing.version_presenting import (
    difference_json,
    difference_row,
    value_row,
    version_json,
    version_row,
)
from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import UsageError

_SHOWN = 200


class Command(CustodyCommand):
    help = (
        "Shows the versions of one record, the newest first; what it was at a moment (--as-of); "
        "or in what two of its versions differ (--compare)."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", help="NAME or SCHEMA.NAME")
        parser.add_argument(
            "key", metavar="KEY", help="the key's value; a,b or a JSON array for several columns"
        )
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--as-of", metavar="TIME", help="the record at this moment")
        which.add_argument(
            "--compare", nargs=2, type=int, metavar=("N", "M"), help="two versions, by number"
        )
        parser.add_argument(
            "--limit", type=int, default=_SHOWN, metavar="N", help=f"versions shown ({_SHOWN})"
        )

    def work(self, **options: Any) -> Result:
        tracked = tracked_get(options["table"])
        shape = shape_of(tracked)
        if options["as_of"]:
            return _as_of(tracked, shape, options)
        if options["compare"]:
            return _compared(tracked, shape, options)
        if options["limit"] < 1:
            raise UsageError("--limit is a number of versions, 1 or more.")
        page = versions_of(tracked, options["key"], limit=options["limit"], shape=shape)
        document = {
            "table": str(tracked),
            "record_id": page.record_id,
            "total": page.total,
            "versions": [version_json(shape, each) for each in page.versions],
        }
        if not page.versions:
            return Result(document, [f"{tracked} {options['key']} has no versions."])
        headers = ("version", "at", "", "changed", "by", "reason", "name")
        rows = [version_row(shape, each) for each in page.versions]
        text: list[Any] = [text_table(*headers, rows=rows, right=frozenset({0}))]
        if page.next_before is not None:
            text.append(f"... and {page.total - len(rows):,} older ones: --limit shows more.")
        return Result(document, text)


def _as_of(tracked: TrackedTable, shape: Shape, options: dict[str, Any]) -> Result:
    at = moment(options["as_of"], "--as-of")
    assert at is not None
    version = version_at(tracked, options["key"], at, shape=shape)
    there = version is not None and version.exists
    document = {
        "table": str(tracked),
        "as_of": at,
        "exists": there,
        "version": version_json(shape, version) if version else None,
    }
    if version is None or not there:
        return Result(document, [f"{tracked} {options['key']} was not there at {at}."])
    said = f"{tracked} {version.record_id} at {at}: version {version.number}"
    return Result(document, [said, *_values(shape, version)])


def _values(shape: Shape, version: Version) -> list[Any]:
    rows = [
        value_row(column, version)
        for column in shape.columns
        if column.masked or column.attnum in version.values or column.attnum in version.redacted
    ]
    return [text_table("column", "value", rows=rows)]


def _compared(tracked: TrackedTable, shape: Shape, options: dict[str, Any]) -> Result:
    old, new = (
        version_get(tracked, options["key"], number, shape=shape) for number in options["compare"]
    )
    hidden = masked_between(shape, old, new)
    found = version_difference(shape, old, new, masked=hidden)
    document = {
        "table": str(tracked),
        "record_id": new.record_id,
        "old": version_json(shape, old),
        "new": version_json(shape, new),
        "differences": [difference_json(each) for each in found],
    }
    if not found:
        return Result(document, [f"Versions {old.number} and {new.number} are alike."])
    headers = ("column", f"version {old.number}", f"version {new.number}")
    return Result(document, [text_table(*headers, rows=[difference_row(each) for each in found])])
