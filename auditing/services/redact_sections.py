"""Takes values out of sealed rows: their salts go, their commitments stay, the leaves are the same.

Invariants:
- A row is compared with its leaf before anything of it is destroyed: an altered row is never made
  to fit by a redaction.
- Salts go, and commitments come, in the transaction that takes the values away: at any moment a
  row's leaf can be computed from what is there.
- From a salt that is kept no other one can be made. Those of a section are materialised when the
  first goes; those of the entries that stay in a `rest` are kept one by one.

Knows nothing of tables: rows of the console's own that were sealed one by one go the same way.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from auditing.exceptions import SealBroken
from auditing.models import RedactedValue, SealSection
from auditing.seals.leaves import (
    NULL,
    REST,
    SALT,
    commitment,
    entry_salt,
    entry_value,
    leaf,
    prefixes,
    salts_of,
    unescape,
)
from auditing.seals.merkle import HASH


@dataclass(frozen=True)
class SealedRow:
    """A row as it stands now, in the form in which it was sealed."""

    number: int
    """Its identity in a section."""
    tag: int
    """Its record's, which counts where a section has tags."""
    meta: bytes
    values: Mapping[str, bytes]
    """By name, as COPY prints them; `rest` whole."""
    title: str
    """For people, when it is not what was sealed."""


@dataclass(frozen=True)
class Taking:
    """What goes of each row."""

    names: Collection[str]
    entries: Collection[str]
    """Keys in `rest`."""


def values_take(
    sections: Sequence[SealSection],
    rows: Sequence[SealedRow],
    taking: Taking,
    *,
    run_id: int,
    using: str,
) -> int:
    """Destroys salts and writes down commitments; the caller takes away the values themselves.

    In the transaction under way, with the sections locked. Returns how many values.

    Raises:
        SealBroken: a row is none of the leaves that it could be.
    """
    opened = [_Open(section, using) for section in sections]
    made: list[RedactedValue] = []
    for row in rows:
        section, place = _place(opened, row)
        made += section.take(place, row, taking, run_id)
    for each in opened:
        each.save()
    RedactedValue.objects.using(using).bulk_create(made, batch_size=2_000)
    return sum(1 for each in made if each.commitment is not None)


def _place(opened: Sequence[_Open], row: SealedRow) -> tuple[_Open, int]:
    for section in opened:
        for place in section.places(row):
            if section.fits(place, row):
                section.used.add(place)
                return section, place
    raise SealBroken(
        f"{row.title} is not what was sealed: somebody changed it behind the console's back. "
        "Nothing more is redacted, or the change could not be found any more. Look into it with "
        "manage.py audit_verify; what was redacted before stays so."
    )


class _Open:
    """A locked section, its salts and what was redacted in it."""

    def __init__(self, section: SealSection, using: str) -> None:
        self.section, self._using = section, using
        self.used: set[int] = set()
        self._named = prefixes(section.names)
        self._hashes = bytes(section.hashes)
        self._salts = bytearray(
            bytes(section.salts or b"")
            if section.secret is None
            else salts_of(bytes(section.secret), len(section.ids), len(section.names))
        )
        self._touched = False
        self._stale: list[int] = []

    @cached_property
    def _where(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for place, number in enumerate(self.section.tags or self.section.ids):
            found.setdefault(number, []).append(place)
        return found

    @cached_property
    def _before(self) -> dict[int, dict[str, RedactedValue]]:
        found: dict[int, dict[str, RedactedValue]] = {}
        for each in RedactedValue.objects.using(self._using).filter(section=self.section):
            found.setdefault(each.place, {})[each.name] = each
        return found

    def places(self, row: SealedRow) -> list[int]:
        wanted = row.tag if self.section.tags else row.number
        found = self._where.get(wanted, [])
        return [
            place
            for place in found
            if self.section.ids[place] == row.number and place not in self.used
        ]

    def fits(self, place: int, row: SealedRow) -> bool:
        kept = {
            prefixes([name])[0]: bytes(each.commitment or each.salt or b"")
            for name, each in self._before.get(place, {}).items()
        }
        values = [row.values.get(name, NULL) for name in self.section.names]
        made = leaf(row.meta, values, self._named, bytes(self._salts_at(place)), 0, kept)
        return made == self._hashes[place * HASH : (place + 1) * HASH]

    def take(self, place: int, row: SealedRow, taking: Taking, run_id: int) -> list[RedactedValue]:
        made = []
        for slot, name in enumerate(self.section.names):
            value = row.values.get(name, NULL)
            if value == NULL:
                continue
            if name == REST:
                made += self._take_entries(place, slot, value, taking, run_id)
            elif name in taking.names:
                salt = self._destroy(place, slot)
                made.append(self._redacted(place, name, commitment(salt, value), run_id))
        unsealed = [
            name
            for name in taking.names
            if row.values.get(name, NULL) != NULL and name not in self.section.names
        ]
        if unsealed:
            raise SealBroken(
                f"{row.title} has a value in {', '.join(unsealed)} that came there after it was "
                "sealed. Look into it with manage.py audit_verify."
            )
        return made

    def _take_entries(
        self, place: int, slot: int, value: bytes, taking: Taking, run_id: int
    ) -> list[RedactedValue]:
        entries = json.loads(unescape(value))
        going = [key for key in entries if key in taking.entries]
        if not going:
            return []
        before = self._before.get(place, {})
        whole = self._destroy(place, slot)
        made = []
        for key, entry in entries.items():
            name = f"{REST}.{key}"
            known = before.get(name)
            own = bytes(known.salt) if known and known.salt else entry_salt(whole, key)
            if key in going:
                if known is not None:
                    self._stale.append(known.pk)
                made.append(
                    self._redacted(place, name, commitment(own, entry_value(entry)), run_id)
                )
            elif known is None:
                made.append(
                    RedactedValue(
                        section=self.section, place=place, name=name, salt=own, run_id=run_id
                    )
                )
        return made

    def _redacted(self, place: int, name: str, kept: bytes, run_id: int) -> RedactedValue:
        return RedactedValue(
            section=self.section, place=place, name=name, commitment=kept, run_id=run_id
        )

    def _salts_at(self, place: int) -> bytearray:
        width = len(self._named) * SALT
        return self._salts[place * width : (place + 1) * width]

    def _destroy(self, place: int, slot: int) -> bytes:
        at = (place * len(self._named) + slot) * SALT
        salt = bytes(self._salts[at : at + SALT])
        self._salts[at : at + SALT] = bytes(SALT)
        self._touched = True
        return salt

    def save(self) -> None:
        if not self._touched:
            return
        RedactedValue.objects.using(self._using).filter(pk__in=self._stale).delete()
        self.section.secret, self.section.salts = None, bytes(self._salts)
        self.section.save(using=self._using, update_fields=["secret", "salts"])
