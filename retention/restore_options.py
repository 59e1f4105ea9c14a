"""The options of `archive_restore`, as a choice of rows and columns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from operations.catalogue.types import Table
from operations.conditions.structure import And, Comparison, Condition, Or
from operations.exceptions import UsageError
from retention.models import Archive
from retention.selectors.restore_choice import ColumnChoice, RestoreChoice
from retention.services.archive_rows import ArchiveRows

_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


def add_restore_options(parser: CommandParser) -> None:
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--where", metavar="CONDITION", default="", help="only rows for which this holds, as SQL"
    )
    chosen.add_argument(
        "--key", action="append", default=[], metavar="K", help="only the row of this key; again"
    )
    chosen.add_argument(
        "--row",
        action="append",
        default=[],
        metavar="PART:LINE",
        help="only this row, as archive_search calls it; again",
    )
    parser.add_argument(
        "--into-schema", default="", metavar="SCHEMA", help="into a table of its own there"
    )
    parser.add_argument(
        "--with-dependents",
        action="store_true",
        help="also what went along with the rows, from the archives that have it",
    )
    parser.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="the values of the archived column OLD go to NEW; again",
    )
    parser.add_argument(
        "--drop-column",
        action="append",
        default=[],
        metavar="NAME",
        help="leave the archived column out; again",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="COLUMN:OLD=NEW",
        help="what an enum's label is called now; again",
    )


def restore_choice(archive: Archive, options: dict[str, Any]) -> RestoreChoice:
    """Raises UsageError and ConditionRefused, with what to write instead."""
    columns = ColumnChoice(
        dict(_pair(text, "--columns") for text in options["columns"]),
        frozenset(options["drop_column"]),
        _labels(options["map"]),
    )
    where = None
    if options["where"] or options["key"]:
        rows = ArchiveRows(archive, using=archive.run.database)
        where = (
            rows.condition(options["where"])
            if options["where"]
            else rows.checked(keys_condition(options["key"], rows.table))
        )
    return RestoreChoice(
        where,
        tuple(_place(text) for text in options["row"]),
        columns,
        options["into_schema"],
        options["with_dependents"],
    )


def keys_condition(keys: Sequence[str], table: Table) -> Condition:
    """Rows with one of these keys: `4711`, or of several columns `a,b` or a JSON array."""
    if table.key is None:
        raise UsageError(f"The rows of {table.name} had no key: name them by --row or --where.")
    names = table.key.columns
    if len(names) == 1:
        return Comparison(names[0], "in", tuple(keys))
    each = [_one(key, names) for key in keys]
    return each[0] if len(each) == 1 else Or(tuple(each))


def _one(key: str, names: Sequence[str]) -> Condition:
    values = _values(key)
    if len(values) != len(names):
        raise UsageError(
            f"The key {key!r} has {len(values)} values; it is of {', '.join(names)}: "
            "write them in this order, as a,b or as a JSON array."
        )
    pairs = zip(names, values, strict=True)
    return And(tuple(Comparison(name, "=", value) for name, value in pairs))


def _values(key: str) -> list[str]:
    if not key.lstrip().startswith("["):
        return key.split(",")
    try:
        found = json.loads(key)
    except ValueError:
        raise UsageError(f"{key!r} is no JSON array.") from None
    return [value if isinstance(value, str) else json.dumps(value) for value in found]


def _place(text: str) -> tuple[int, int]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no row: write PART:LINE, as archive_search does.")
    return int(found[1]), int(found[2])


def _pair(text: str, option: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise UsageError(f"{option} {text!r}: write OLD=NEW.")
    return old, new


def _labels(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        column, colon, pair = text.partition(":")
        if not (column and colon):
            raise UsageError(f"--map {text!r}: write COLUMN:OLD=NEW.")
        old, new = _pair(pair, "--map")
        found.setdefault(column, {})[old] = new
    return found
