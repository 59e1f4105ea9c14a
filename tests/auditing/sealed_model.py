"""A small model of verification: each sealed leaf is made again from the row that is there now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from psycopg import sql

from auditing.models import Removal, SealSection, TrackedTable
from auditing.seals import merkle
from auditing.seals.leaves import SALT, leaf, prefixes, salts_of, tag, unescape
from auditing.selectors.history_apart import history_apart
from auditing.selectors.images import history_exists
from auditing.selectors.sealed_rows import (
    ROWS,
    VERSION_META,
    lines,
    record_text,
    version_names,
)
from operations.catalogue.identifiers import Identifier

Row = dict[str, bytes]


@dataclass(frozen=True)
class Gone:
    """A leaf that no row makes any more."""

    source: str
    form: str
    number: int
    tag: int | None
    at: datetime | None
    """Of the section, the end of it."""


@dataclass
class Checked:
    matched: int
    gone: list[Gone]
    unsealed: list[tuple[str, int]]
    """Rows without a leaf: source and number."""


def checked() -> Checked:
    """Everything that is sealed against everything that is there."""
    rows = _versions()
    for each in ROWS:
        rows[each.source] = _rows(each.source, [*each.meta, *each.names], each.key)
    matched, gone = 0, []
    left = {
        source: [row for many in found.values() for row in many] for source, found in rows.items()
    }
    seen = {id(row): source for source, many in left.items() for row in many}
    for section in SealSection.objects.select_related("block").order_by("block", "place"):
        hashes, named = merkle.split(bytes(section.hashes)), prefixes(section.names)
        assert section.secret is not None
        salts = salts_of(bytes(section.secret), len(hashes), len(section.names))
        for place, sealed in enumerate(hashes):
            mark = section.tags[place] if section.tags else None
            key = (_form(section.form), section.ids[place], mark)
            for row in rows.get(section.source, {}).get(key, []):
                meta = b"\t".join(row[name] for name in section.meta)
                values = [row.get(name, b"\\N") for name in section.names]
                made = leaf(meta, values, named, salts, place * len(named) * SALT)
                if made == sealed and id(row) in seen:
                    matched += 1
                    del seen[id(row)]
                    break
            else:
                gone.append(
                    Gone(section.source, section.form, section.ids[place], mark, section.last_at)
                )
    unsealed = []
    for source, many in left.items():
        unsealed += [(source, int(next(iter(row.values())))) for row in many if id(row) in seen]
    return Checked(matched, gone, sorted(unsealed))


def excused(gone: Gone) -> bool:
    """A removal tells that the console itself took it away."""
    for removal in Removal.objects.filter(
        tracked__history_name=gone.source.removeprefix("history.")
    ):
        if removal.kind == Removal.Kind.RETIRED:
            assert removal.until is not None
            if gone.at is not None and gone.at < removal.until:
                return True
        elif removal.kind == Removal.Kind.PURGED:
            if gone.tag is not None and gone.tag in removal.images:
                return True
            if gone.form != "image" and any(a <= gone.number <= b for a, b in removal.numbers):
                return True
    return False


def _form(form: str) -> str:
    return form if form in ("image", "carried") else "version"


def _versions() -> dict[str, dict[tuple[str, int, int | None], list[Row]]]:
    found = {}
    for tracked in TrackedTable.objects.all():
        if history_exists(tracked):
            found[str(tracked.history)] = _history(tracked)
    return found


def _history(tracked: TrackedTable) -> dict[tuple[str, int, int | None], list[Row]]:
    names = [*VERSION_META, *version_names(tracked, using="default")]
    found: dict[tuple[str, int, int | None], list[Row]] = defaultdict(list)
    for table in (tracked.history, *history_apart(tracked)):
        for record, row in _lines(table.sql, names, [record_text(tracked)]):
            form = {b"B": "image", b"C": "carried"}.get(row["op"], "version")
            mark = tag(unescape(record)) if form != "version" else None
            found[form, int(row["seq"]), mark].append(row)
    return found


def _rows(source: str, names: list[str], key: str) -> dict[tuple[str, int, int | None], list[Row]]:
    schema, name = source.split(".")
    found: dict[tuple[str, int, int | None], list[Row]] = defaultdict(list)
    for _, row in _lines(Identifier(schema, name), names, [sql.SQL("''::text")]):
        found["version", int(row[key]), None].append(row)
    return found


def _lines(
    table: sql.Composable, names: list[str], control: list[sql.Composable]
) -> Iterator[tuple[bytes, Row]]:
    with transaction.atomic():
        for first, *fields in lines(
            table,
            control=control,
            fields=names,
            where=sql.SQL("true"),
            tail=sql.SQL(""),
            using="default",
        ):
            yield first, dict(zip(names, fields, strict=True))
