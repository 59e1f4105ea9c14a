"""What is in the way of a restore, with what can be done about it, as the page asks for it.

A conflict comes back with the form that it was shown in. It is signed, so that nobody gives other
columns other values than those that were shown to be in the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.core import signing
from django.http import QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString

from auditing.admin.words import actor_name
from operations.catalogue.names import parse_table_name
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Column, Table, TableName
from operations.exceptions import CustodyError
from operations.masking import HIDDEN
from retention.admin.deletion_words import deletion_url, key_words, record_shown
from retention.selectors.conflict_columns import conflict_columns, record_values
from retention.selectors.row_read import rows_read
from retention.selectors.row_texts import RowText
from retention.services.record_restore import Choice, Conflict

MOST = 100
"""Conflicts that one page asks about."""
_SALT = "retention.conflict"


@dataclass
class Ask:
    """One record in conflict, or the records that miss one parent."""

    table: str
    records: tuple[str, ...]
    columns: tuple[str, ...] = ()
    """That can get another value."""
    do: str = ""
    """What was chosen: `skip`, `set`, or nothing yet."""
    values: dict[str, str] = field(default_factory=dict)
    sentences: list[SafeString] = field(default_factory=list)
    """What is in the way now; empty when the choice has settled it."""
    parent_url: str = ""
    parents: bool = False
    """The deletion that is in the way can come back as well."""

    @property
    def name(self) -> str:
        return f"{self.table} {self.records[0]}" if self.records else self.table

    @property
    def may_skip(self) -> bool:
        return bool(self.records)

    @property
    def signed(self) -> str:
        return signing.dumps([self.table, self.records, self.columns], salt=_SALT)

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [(column, self.values.get(column, "")) for column in self.columns]

    def choices(self) -> Iterator[Choice]:
        for record in self.records:
            if self.do == "skip":
                yield Choice(self.table, record, "skip")
            elif self.do == "set" and self.columns:
                given: dict[str, str | None] = {name: self.values[name] for name in self.columns}
                yield Choice(self.table, record, "set", given)


def asks_given(given: QueryDict) -> list[Ask]:
    """What the person has chosen so far. What was not signed here is left out."""
    found = []
    for number in range(MOST):
        try:
            table, records, columns = signing.loads(given.get(f"conflict-{number}", ""), salt=_SALT)
        except signing.BadSignature:
            continue
        values = {
            name: given.get(f"conflict-{number}-{place}", "").replace("\0", "")
            for place, name in enumerate(columns)
        }
        found.append(
            Ask(
                table,
                tuple(records),
                tuple(columns),
                given.get(f"conflict-{number}-do", ""),
                values,
            )
        )
    return found


def choices_of(asks: Iterable[Ask]) -> list[Choice]:
    return [choice for ask in asks for choice in ask.choices()]


def asks_now(
    given: list[Ask],
    conflicts: Iterable[Conflict],
    tracked: dict[TableName, int],
    *,
    using: str = "default",
) -> list[Ask]:
    """What was chosen and what is still in the way, a record at a time."""
    known = {(ask.table, ask.records): ask for ask in given}
    here: dict[tuple[str, tuple[str, ...]], list[Conflict]] = {}
    conflicts = list(conflicts)
    look = _Look(conflicts, tracked, using)
    for conflict in conflicts:
        key = (conflict.table, _records(conflict))
        if key not in known and len(known) >= MOST:
            break
        known.setdefault(key, Ask(*key))
        here.setdefault(key, []).append(conflict)
    for key, found in here.items():
        _fill(known[key], found, look)
    return list(known.values())


class _Look:
    """What is looked up to tell of conflicts: once for each table, however many there are."""

    def __init__(
        self, conflicts: list[Conflict], tracked: dict[TableName, int], using: str
    ) -> None:
        self.tracked, self.using = tracked, using
        self._tables: dict[str, Table | None] = {}
        self._columns: dict[tuple[str, frozenset[str]], tuple[Column, ...]] = {}
        self._rows: dict[str, dict[str, RowText]] = {}
        others: dict[str, set[str]] = {}
        for each in conflicts:
            if each.kind == "unique":
                others.setdefault(each.table, set()).add(each.other)
            elif each.kind == "parent":
                others.setdefault(each.parent_table, set()).add(each.parent_record)
        for name, records in others.items():
            if (table := self.table(name)) is not None:
                self._rows[name] = rows_read(table, sorted(records), using=using)

    def table(self, name: str) -> Table | None:
        """None when it is gone."""
        if name not in self._tables:
            try:
                self._tables[name] = read_table(_name(name), using=self.using)
            except CustodyError:
                self._tables[name] = None
        return self._tables[name]

    def columns(self, table: Table, indexes: Iterable[str]) -> tuple[Column, ...]:
        """Those that can get another value."""
        key = (str(table.name), frozenset(indexes))
        if key not in self._columns:
            self._columns[key] = conflict_columns(table, key[1], using=self.using)
        return self._columns[key]

    def known(self, name: str, record_id: str) -> str:
        """` (Ada Lovelace)`: by what else the other record is known."""
        row = self._rows.get(name, {}).get(record_id)
        words = row.words(masks=False) if row is not None else []
        return f" ({words[0]})" if words else ""


def _fill(ask: Ask, conflicts: list[Conflict], look: _Look) -> None:
    unique = [each for each in conflicts if each.kind == "unique"]
    if unique and not ask.columns:
        _prefill(ask, [each.constraint for each in unique], look)
    ask.sentences = [_sentence(each, look) for each in _telling(ask, unique)]
    for each in conflicts:
        if each.kind == "parent":
            ask.sentences.append(_sentence(each, look))
            ask.parents = ask.parents or each.deletion is not None
            if each.deletion is not None:
                ask.parent_url = deletion_url(each.deletion)


def _telling(ask: Ask, conflicts: list[Conflict]) -> list[Conflict]:
    """Without those on a generated column, where the column behind it is in the way as well."""
    plain = [each for each in conflicts if set(each.columns) <= set(ask.columns)]
    others = {each.other for each in plain}
    return [each for each in conflicts if each in plain or each.other not in others]


def _records(conflict: Conflict) -> tuple[str, ...]:
    """Only all of them can be skipped, and of many only some are told."""
    return conflict.records if len(conflict.records) == conflict.rows else ()


def _prefill(ask: Ask, indexes: list[str], look: _Look) -> None:
    table = look.table(ask.table)
    if table is None:
        return
    columns = look.columns(table, indexes)
    values = record_values(table, ask.records[0], columns, using=look.using)
    ask.columns = tuple(column.name for column in columns if column.name in values)
    ask.values = {name: value or "" for name, value in values.items()}


def _name(text: str) -> TableName:
    schema, name = parse_table_name(text)
    return TableName(schema or "", name)


def _sentence(conflict: Conflict, look: _Look) -> SafeString:
    """What is in the way, without what can be done: that stands beside it."""
    if conflict.kind == "unique":
        taken = ", ".join(map(_taken, conflict.columns, conflict.values))
        return format_html(
            "{} belongs to {} {}{} now.",
            taken,
            conflict.table,
            record_shown(_name(conflict.table), conflict.other, look.tracked, masks=False),
            look.known(conflict.table, conflict.other),
        )
    by = actor_name(conflict.deleted_by) or "somebody"
    return format_html(
        "{} to {} {}{}, which {} deleted on {}{}.",
        "It refers" if conflict.rows == 1 else f"{conflict.rows:,} rows refer",
        conflict.parent_table,
        key_words(conflict.parent_record),
        look.known(conflict.parent_table, conflict.parent_record),
        by,
        conflict.deleted_at,
        f" (deletion {conflict.deletion})" if conflict.deletion is not None else "",
    )


def _taken(column: str, value: str | None) -> str:
    if value == HIDDEN:
        return f"its {column}"
    return f"{column} {'NULL' if value is None else value}"
