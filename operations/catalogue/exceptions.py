"""What is asked of the catalogue and not there. Each text says how to write it instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from operations.catalogue.identifiers import quoted
from operations.catalogue.types import Table, TableName
from operations.exceptions import UsageError


class BadTableName(UsageError):
    """The text is not the name of one table."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is not the name of a table. Write NAME or SCHEMA.NAME; a part with "
            'capitals, spaces or dots stands in double quotes: shop.users, "My Schema"."Tab.le".'
        )


class NoSuchTable(UsageError):
    """No schema has a table of this name, or the schema that was named has not."""

    def __init__(self, schema: str | None, name: str, known: Iterable[TableName] = ()) -> None:
        wanted = quoted(name) if schema is None else str(TableName(schema, name))
        near = nearest(
            name if schema is None else f"{schema}.{name}",
            {
                str(table): table.name if schema is None else f"{table.schema}.{table.name}"
                for table in known
            },
            # Whole names are alike by their schemas alone.
            likeness=0.6 if schema is None else 0.8,
        )
        super().__init__(f"There is no table {wanted}.{_did_you_mean(near)}")


class AmbiguousTableName(UsageError):
    """Several schemas have a table of this name."""

    def __init__(self, name: str, candidates: Iterable[TableName]) -> None:
        self.candidates = tuple(sorted(candidates))
        names = _either([str(table) for table in self.candidates])
        super().__init__(f"Several schemas have a table {quoted(name)}: write {names}.")


class NoSuchColumn(UsageError):
    """The table has no column of this name."""

    def __init__(self, table: Table, name: str) -> None:
        near = nearest(name, {quoted(column.name): column.name for column in table.columns})
        super().__init__(
            f"The table {table.name} has no column {quoted(name)}.{_did_you_mean(near)}"
        )


def nearest(wanted: str, names: dict[str, str], *, likeness: float = 0.6) -> list[str]:
    """The keys, three at most, whose values look like `wanted`; capitals make no difference.

    `likeness` is difflib's ratio: 0 for anything, 1 for the same."""
    keys: dict[str, list[str]] = {}
    for key, name in names.items():
        keys.setdefault(name.casefold(), []).append(key)
    found = difflib.get_close_matches(wanted.casefold(), keys, n=3, cutoff=likeness)
    return [key for name in found for key in keys[name]][:3]


def _did_you_mean(near: list[str]) -> str:
    return f" Did you mean {_either(near)}?" if near else ""


def _either(texts: list[str]) -> str:
    *others, last = texts
    return f"{', '.join(others)} or {last}" if others else last
