"""Sections for verifying: which there are in a stretch of numbers, and their leaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC

from django.db import connections

from auditing.models import RedactedValue, SealSection
from auditing.seals.headers import SectionHead
from auditing.seals.leaves import SALT, prefixes, salts_of
from auditing.seals.merkle import HASH, split

TILE = 4
"""Sections that one piece of work begins with, or more when they overlap."""
_COLUMNS = {"version": ("first", "last"), "image": ("first_statement", "last_statement")}


@dataclass
class Leaves:
    """A section, ready to be compared with rows."""

    section: SealSection
    named: list[bytes]
    salts: bytes
    kept: dict[int, dict[bytes, bytes]]
    """Of what is redacted, by place."""
    hashes: list[bytes]
    matched: bytearray = field(default_factory=bytearray)
    """A byte for each leaf."""
    places: list[int | None] = field(default_factory=list)
    """Of each name: where it stands in the fields that are read; None: it is not there any more."""
    values: slice | None = None
    """The same, where they stand one after the other, as they mostly do."""
    others: list[str] = field(default_factory=list)
    """Columns that are read and that this section does not speak of."""

    @property
    def width(self) -> int:
        return len(self.named) * SALT

    def read(self, at: Mapping[str, int], columns: Collection[str]) -> None:
        """Notes where its values stand among the fields.

        Args:
            columns: those that may hold values, whether sealed or not.
        """
        names = self.section.names
        self.places = [at.get(name) for name in names]
        self.others = sorted(set(columns) - set(names))
        first = self.places[0] if self.places else None
        if first is not None and self.places == list(range(first, first + len(names))):
            self.values = slice(first, first + len(names))


def next_stretch(source: str, form: str, after: int | None, *, using: str) -> int | None:
    """Where the next piece of work ends: the highest number of the sections that begin it.

    None: there are no sections beyond `after`, and the rest of the line is one piece.
    """
    first, last = _COLUMNS.get(form, ("first", "last"))
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT max(s.last), count(*) FROM (SELECT {last} AS last"  # noqa: S608
            " FROM custody.auditing_sealsection WHERE source = %s AND form = %s"
            f" AND {last} > %s ORDER BY {first} LIMIT %s) AS s",
            [source, form, -(2**63) if after is None else after, TILE],
        )
        upto, count = cursor.fetchone()
    if count < TILE or upto is None:
        return None
    # Images of one statement are sealed by section, not by number: none is cut in two.
    while form == "image":
        with connections[using].cursor() as cursor:
            cursor.execute(
                "SELECT max(last_statement) FROM custody.auditing_sealsection"
                " WHERE source = %s AND form = %s AND first_statement <= %s",
                [source, form, upto],
            )
            [further] = cursor.fetchone()
        if further <= upto:
            break
        upto = further
    return int(upto)


def leaves_between(
    source: str, form: str, after: int | None, upto: int | None, *, using: str
) -> list[Leaves]:
    """The sections that have a number in the stretch."""
    first, last = _COLUMNS.get(form, ("first", "last"))
    sections = SealSection.objects.using(using).filter(source=source, form=form)
    if after is not None:
        sections = sections.filter(**{f"{last}__gt": after})
    if upto is not None:
        sections = sections.filter(**{f"{first}__lte": upto})
    return [leaves_of(each, using=using) for each in sections.order_by("block_id", "place")]


def section_head(section: SealSection) -> SectionHead:
    """What the header of its block says of a section."""
    since, until = (
        at.astimezone(UTC).isoformat(timespec="microseconds") if at is not None else ""
        for at in (section.first_at, section.last_at)
    )
    return SectionHead(
        section.source,
        section.form,  # type: ignore[arg-type]
        len(section.hashes) // HASH,
        section.meta,
        section.names,
        since,
        until,
    )


def leaves_of(section: SealSection, *, using: str) -> Leaves:
    count = len(section.hashes) // HASH
    if section.secret is not None:
        salts = salts_of(bytes(section.secret).ljust(32, b"\0")[:32], count, len(section.names))
    else:
        salts = bytes(section.salts or b"")
    kept: dict[int, dict[bytes, bytes]] = defaultdict(dict)
    if section.secret is None:
        for each in RedactedValue.objects.using(using).filter(section=section):
            [prefix] = prefixes([each.name])
            kept[each.place][prefix] = bytes(each.commitment or each.salt or b"")
    hashes = split(bytes(section.hashes))[:count]
    return Leaves(section, prefixes(section.names), salts, dict(kept), hashes, bytearray(count))
