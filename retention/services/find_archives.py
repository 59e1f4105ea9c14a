"""Records in the archives of purges: part by part, the newest archives first."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from psycopg import sql

from operations.asked import TEXTS, Asked, asked, value_of
from operations.catalogue.types import Key, Table, TableName
from operations.conditions.structure import Comparison
from operations.exceptions import CustodyError
from operations.finding import LEAST, Fit, Hit, Person, Place, Search, Source, Stage, Standing
from operations.readable import readable_columns
from operations.record_ids import NoRecordId, key_values
from operations.sought import (
    DOCUMENTS,
    Field,
    any_of,
    best_fit,
    column_field,
    equals,
    is_value,
    literals,
    meets,
)
from retention.models import Archive, ArchivePart, RetentionPolicy
from retention.selectors.archive_parts import parts_with
from retention.services.archive_rows import ArchiveRows, staged
from retention.services.archive_search import found_select
from retention.services.part_scan import Candidate, Traces, candidates, holds_trace, traces_of

ARCHIVE = "archive"
_MAY_SEARCH = "retention.search_archive"
_ONCE = 2_000
"""Records that PostgreSQL is asked about at a time."""


class ArchivedRows(Source):
    name = "archives"
    standing = Standing(ARCHIVE, 2, "In archives of purges", "in an archive", "In an archive")
    weights = {Stage.EXACT: 2.0, Stage.TELLING: 3.0}  # noqa: RUF012

    def tables(self, *, using: str) -> set[TableName]:
        return {policy.table for policy in RetentionPolicy.objects.filter(database=using)}

    def open_to(self, user: Person) -> bool:
        return _may(user)

    def find(self, search: Search, stage: Stage) -> Iterator[Hit]:
        """First the parts that can hold a key, then the others."""
        if search.user is not None and not _may(search.user):
            if stage is Stage.EXACT and Archive.objects.exists():
                search.miss("archives", "you may not search them")
            return
        read: set[int] = search.kept.setdefault(ARCHIVE, set())
        traces = traces_of(search.asked)
        for archive in _archives(search):
            if search.left < LEAST:
                if stage is not Stage.EXACT:
                    search.miss(f"archive {archive.name}")
                continue
            try:
                yield from _found(search, archive, traces, read, by_key=stage is Stage.EXACT)
            except CustodyError as error:
                if stage is not Stage.EXACT:
                    search.miss(f"archive {archive.name}", str(error).rstrip("."))

    def shown(self, hits: Sequence[Hit], user: User) -> None:
        """Who looked, in the log of each archive; never what was looked for."""
        counts: dict[str, int] = {}
        for hit in hits:
            for place in hit.places:
                if place.kind == ARCHIVE:
                    counts[place.facts["archive"]] = counts.get(place.facts["archive"], 0) + 1
        for archive in Archive.objects.filter(name__in=counts):
            LogEntry.objects.log_actions(
                user.pk,
                [archive],
                CHANGE,
                f"Rows were looked at: {counts[archive.name]}, found by a search everywhere.",
                single_object=True,
            )


def _may(user: Person) -> bool:
    return user.has_perm("retention.view_archive") and user.has_perm(_MAY_SEARCH)


def _archives(search: Search) -> list[Archive]:
    found = Archive.objects.select_related("run", "policy").exclude(state=Archive.State.DESTROYED)
    return [
        each
        for each in found.filter(run__database=search.using).order_by("-id")
        if search.wants(TableName(each.schema_name, each.table_name))
    ]


def _found(
    search: Search, archive: Archive, traces: Traces, read: set[int], *, by_key: bool
) -> Iterator[Hit]:
    rows = ArchiveRows(archive, using=search.using)
    fields = _fields(rows, search.open_columns(rows.table))
    bind = literals(search.asked)
    conditions = [
        condition
        for each in fields
        for condition in (
            meets(each, search.asked, bind=bind),
            None if each.telling else meets(each, search.asked, deep=True, bind=bind),
            equals(each, search.asked, bind) if each.name in archive.layout["key"] else None,
        )
        if condition is not None
    ] + _key_condition(search.asked, rows, fields)
    parts = _parts(search, archive, rows, by_key=by_key)
    if not conditions:
        return
    told = 0
    try:
        for part in [part for part in parts if part.pk not in read]:
            for hits in _of_part(search, rows, part, traces, (fields, any_of(conditions))):
                yield from hits[: max(search.limit - told, 0)]
                told += len(hits)
                if told > search.limit:
                    search.exceeds(ARCHIVE, rows.table.name)
                    return
            if search.left <= LEAST:
                if not by_key:
                    search.miss(f"archive {archive.name}")
                return
            read.add(part.pk)
    finally:
        rows.close()


def _of_part(
    search: Search,
    rows: ArchiveRows,
    part: ArchivePart,
    traces: Traces,
    asking: tuple[Sequence[Field], sql.Composable],
) -> Iterator[list[Hit]]:
    """Its hits, as they come; all of them unless the time is over."""

    def goes_on() -> bool:
        return search.left > LEAST

    if not holds_trace(part, traces, goes_on=goes_on):
        return
    pending: list[Candidate] = []
    for each in candidates(part, traces, goes_on=goes_on):
        pending.append(each)
        if len(pending) == _ONCE:
            yield list(_asked_of(search, rows, asking, pending))
            pending = []
    yield list(_asked_of(search, rows, asking, pending))


def _key_condition(
    wanted: Asked, rows: ArchiveRows, fields: Sequence[Field]
) -> list[sql.Composable]:
    """That the text is the key of several columns; none for another text."""
    by_name = {each.name: each for each in fields}
    names = rows.table.key.columns if rows.table.key else ()
    if len(names) < 2 or not set(names) <= set(by_name):
        return []
    try:
        given = key_values(wanted.text, rows.table)
    except NoRecordId:
        return []
    parts = []
    for name, text in zip(names, given, strict=True):
        part = asked(text)
        condition = equals(by_name[name], part, literals(part)) if not part.problem else None
        if condition is None:
            return []
        parts.append(condition)
    return [sql.SQL("({})").format(sql.SQL(" AND ").join(parts))]


def _fields(rows: ArchiveRows, table: Table) -> list[Field]:
    """Every column of the table that may be looked into, where the slice has it."""
    found = []
    for each in rows.columns:
        known = column_field(each.column)
        if known is not None and table.column(known.name) is not None:
            found.append(Field(known.name, staged(each.place), known.type, known.telling))
    return found


def _parts(
    search: Search, archive: Archive, rows: ArchiveRows, *, by_key: bool
) -> list[ArchivePart]:
    """All, or those alone whose range of keys has what was asked for."""
    if not by_key:
        return list(archive.parts.order_by("number"))
    key = rows.table.key
    column = rows.table.column(key.columns[0]) if key else None
    value = value_of(search.asked.text, column.base_name) if column is not None else None
    if column is None or value is None or column.category == "S":
        return []
    where = Comparison(column.name, "=", value)
    found = parts_with(archive, rows.table, where, using=search.using)
    return found if len(found) < archive.parts.count() or len(found) == 1 else []


def _asked_of(
    search: Search,
    rows: ArchiveRows,
    asking: tuple[Sequence[Field], sql.Composable],
    pending: Sequence[Candidate],
) -> Iterator[Hit]:
    if not pending:
        return
    fields, condition = asking
    select = found_select(rows, limit=search.limit + 1)
    for line, _, *texts in rows.ask(select, [each.record for each in pending], where=condition):
        yield _hit(search, rows, fields, pending[line - 1], texts)


def _hit(
    search: Search,
    rows: ArchiveRows,
    fields: Sequence[Field],
    found: Candidate,
    texts: Sequence[str | None],
) -> Hit:
    by_name = {each.name: texts[each.place] for each in rows.columns}
    met = _met(search, fields, by_name)
    table = search.open_columns(rows.table)
    key: Key | None = table.key
    own = [by_name[name] or "" for name in key.columns] if key else []
    record = own[0] if len(own) == 1 else json.dumps(own, ensure_ascii=False, separators=(",", ":"))
    is_key = bool(key) and search.asked.text in (record, ",".join(own))
    values = [(each.name, by_name[each.name]) for each in readable_columns(table)]
    archive = rows.archive
    row = f"{found.part.number}:{found.line}"
    return Hit(
        rows.table.name,
        record if key else f"{archive.name} {row}",
        tuple((name, text) for name, text in values if text and text.strip()),
        Fit.KEY if is_key else best_fit(met, search.asked),
        key.columns if is_key and key else tuple(field.name for field, _ in met),
        [
            Place(
                ARCHIVE,
                2,
                f"in the archive {archive.name}, row {row}",
                found.part.committed_at,
                f"policy {archive.policy.name}",
                "",
                f"archive_restore {shlex.quote(archive.name)} --row {row}",
                "Restore",
                ("admin:retention_archive_restore", (archive.pk,), ""),
                (("row", row), ("chosen", "yes")),
                "retention.restore_archive",
                {"archive": archive.name, "row": row},
            )
        ],
        keyed=bool(key),
    )


def _met(
    search: Search, fields: Sequence[Field], by_name: dict[str, str | None]
) -> list[tuple[Field, str]]:
    """The columns that answer, by what their texts say: PostgreSQL said only that one does."""
    return [
        (field, text)
        for field in fields
        if (text := by_name[field.name]) is not None and _answers(field, text, search.asked)
    ]


def _answers(field: Field, text: str, wanted: Asked) -> bool:
    if field.type not in TEXTS and field.type not in DOCUMENTS:
        return is_value(field, text, wanted)
    if wanted.number:
        return re.search(rf"(^|[^0-9]){wanted.number}([^0-9]|$)", text) is not None
    small = text.casefold()
    if wanted.text.casefold() in small:
        return True
    if field.phone and wanted.digits:
        return wanted.digits in "".join(letter for letter in text if letter.isdigit())
    return field.telling and all(word.casefold() in small for word in wanted.words)
