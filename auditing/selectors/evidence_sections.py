"""The sealed rows of a choice, section by section, with where they stand in their block.

Each section is read in one snapshot: values that are being redacted are there or gone, never half.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction
from django.db.models import Q
from psycopg import sql

from auditing.models import RedactedValue, SealSection
from auditing.seals.leaves import SALT, leaf, prefixes, salts_of, tag, unescape
from auditing.seals.proofs import Disclosed, disclosed
from auditing.selectors.sealed_rows import ROWS, VERSION_META, lines, record_text
from operations.catalogue.identifiers import Identifier

PAGE = 2_000
"""Sections of which the bounds are looked at together."""


@dataclass(frozen=True)
class Bounds:
    """A section by what of it can be told without its rows."""

    pk: int
    block: int
    place: int
    """Of its first leaf in the block."""
    form: str
    first: int
    last: int
    first_statement: int | None
    last_statement: int | None
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True)
class SealedRow:
    """One row of a choice."""

    place: int
    """Of its leaf in the section."""
    meta: list[bytes]
    values: list[bytes]
    """Both as COPY prints them."""
    record: bytes
    """The record id, of a version."""
    shown: Disclosed
    intact: bool
    """It is what was sealed."""


def sections(source: str, *, upto: int, using: str) -> Iterator[Bounds]:
    """All of a source up to and with a block, in their order."""
    after = (0, -1)
    while True:
        found = (
            SealSection.objects.using(using)
            .filter(source=source, block__gte=after[0], block__lte=upto)
            .filter(Q(block__gt=after[0]) | Q(block=after[0], place__gt=after[1]))
            .order_by("block_id", "place")
            .values_list(
                "pk", "block_id", "place", "form", "first", "last", "first_statement",
                "last_statement", "first_at", "last_at",
            )[:PAGE]
        )  # fmt: skip
        page = [Bounds(*row) for row in found]
        yield from page
        if len(page) < PAGE:
            return
        after = (page[-1].block, page[-1].place)


def among(numbers: Sequence[int], first: int, last: int) -> Sequence[int]:
    """Those of sorted numbers from `first` to `last`."""
    return numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]


def versions_in(section: SealSection, where: sql.Composable, *, using: str) -> Iterator[SealedRow]:
    """The versions of a section for which `where` is true of the history row `h`.

    In the order of their leaves.
    """
    assert section.tracked is not None
    number = "seq" if section.form == "version" else "statement"
    ops = {"version": "h.op NOT IN ('B', 'C')", "image": "h.op = 'B'", "carried": "h.op = 'C'"}
    bounds = sql.SQL(
        "h.{number} >= {first} AND h.{number} <= {last} AND {ops}"
        " AND h.at >= {since}::timestamptz AND h.at <= {until}::timestamptz AND {where}"
    ).format(
        number=sql.Identifier(number),
        first=sql.Literal(section.first if number == "seq" else section.first_statement),
        last=sql.Literal(section.last if number == "seq" else section.last_statement),
        ops=sql.SQL(ops[section.form]),
        since=sql.Literal(section.first_at.isoformat() if section.first_at else None),
        until=sql.Literal(section.last_at.isoformat() if section.last_at else None),
        where=where,
    )
    record = record_text(section.tracked)
    yield from _rows(section, section.tracked.history.sql, [record], bounds, using)


def rows_in(section: SealSection, keys: Sequence[int], *, using: str) -> Iterator[SealedRow]:
    """The rows of a table of ours that a section seals, by their keys."""
    source = next(each for each in ROWS if each.source == section.source)
    where = sql.SQL("h.{} = ANY ({}::bigint[])").format(
        sql.Identifier(source.key), sql.Literal(list(keys))
    )
    table = Identifier("custody", source.table)
    yield from _rows(section, table, [sql.SQL("''::text")], where, using)


def _rows(
    section: SealSection,
    table: sql.Composable,
    control: list[sql.Composable],
    where: sql.Composable,
    using: str,
) -> Iterator[SealedRow]:
    places = _Places(section)
    found: list[SealedRow] = []
    meta = 1 + len(section.meta)
    with transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            if not connections[using].savepoint_ids:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT pg_catalog.set_config('enable_seqscan', 'off', true)")
        fresh = SealSection.objects.using(using).values_list("secret", "salts").get(pk=section.pk)
        mark = _Marker(section, *fresh, using=using)
        for fields in lines(
            table,
            control=control,
            fields=[*section.meta, *section.names],
            where=where,
            tail=sql.SQL(""),
            using=using,
        ):
            head, values = fields[1:meta], fields[meta:]
            candidates = places.of(head, unescape(fields[0]))
            if not candidates:
                continue
            fitting = [place for place in candidates if mark.fits(place, head, values)]
            place = (fitting or candidates)[0]
            places.taken.add(place)
            shown = mark.shown(place, values)
            found.append(SealedRow(place, head, values, fields[0], shown, bool(fitting)))
    yield from sorted(found, key=lambda row: row.place)


class _Places:
    """Where rows of a section may stand: by number, and by their record where many have one."""

    def __init__(self, section: SealSection) -> None:
        self.taken: set[int] = set()
        self._tagged = section.tags is not None
        # The number stands first among the fields, whatever the source.
        self._at: dict[tuple[int, int], list[int]] = {}
        for place, number in enumerate(section.ids):
            mark = section.tags[place] if section.tags else 0
            self._at.setdefault((number, mark), []).append(place)

    def of(self, head: list[bytes], record: bytes) -> list[int]:
        found = self._at.get((int(head[0]), tag(record) if self._tagged else 0), [])
        return [place for place in found if place not in self.taken]


class _Marker:
    """Leaves of a section, made again."""

    def __init__(
        self,
        section: SealSection,
        secret: bytes | memoryview | None,
        salts: bytes | memoryview | None,
        *,
        using: str,
    ) -> None:
        self._names = section.names
        self._named = prefixes(section.names)
        self._width = len(section.names) * SALT
        self._hashes = bytes(section.hashes)
        if salts is not None:
            self._salts = bytes(salts)
        elif secret is not None:
            self._salts = salts_of(bytes(secret), len(section.ids), len(self._names))
        self._kept: dict[int, dict[bytes, bytes]] = {}
        for place, name, commitment, salt in (
            RedactedValue.objects.using(using)
            .filter(section_id=section.pk)
            .values_list("place", "name", "commitment", "salt")
        ):
            mark = bytes(commitment or salt or b"")
            self._kept.setdefault(place, {})[prefixes([name])[0]] = mark

    def fits(self, place: int, head: list[bytes], values: list[bytes]) -> bool:
        found = leaf(
            b"\t".join(head),
            values,
            self._named,
            self._salts,
            place * self._width,
            self._kept.get(place),
        )
        return found == self._hashes[place * 32 : place * 32 + 32]

    def shown(self, place: int, values: list[bytes]) -> Disclosed:
        kept = self._kept.get(place, {})
        return disclosed(values, self._names, self._salts, place * self._width, kept)


assert VERSION_META[0] == "seq", "evidence finds versions by the first of their fields"
assert all(source.meta[0] == source.key for source in ROWS)
