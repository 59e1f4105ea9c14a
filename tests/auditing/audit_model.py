"""What the history of a table has to be, in plain Python: the model of the state machine.

It knows nothing of how changes are captured. It sees the table before and after each statement, and
from that alone follows which versions there have to be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

Key = tuple[str | None, ...]
Image = dict[int, str | None]
"""Values by attnum, as PostgreSQL prints them."""
Rows = dict[Key, Image]
THERE = frozenset("IUBC")


@dataclass(frozen=True)
class Column:
    attnum: int
    name: str
    type: str
    generated: str


@dataclass(frozen=True)
class Table:
    """An audited table of one example. Its name and its columns may change, its number does not."""

    oid: int
    tracked: int
    history: str
    key: tuple[int, ...]
    masked: frozenset[int] = frozenset()
    excluded: frozenset[int] = frozenset()

    def shown(self, image: Image) -> Image:
        """Of an image, what versions hold."""
        return {a: v for a, v in image.items() if a not in self.masked | self.excluded}


@dataclass(frozen=True)
class Sight:
    """A table as one session sees it."""

    name: sql.Composable
    columns: tuple[Column, ...]
    rows: Rows
    types: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """A version that there has to be. Two are equal when nothing that a person may see differs."""

    op: str
    image: tuple[tuple[int, str | None], ...]
    changed: tuple[int, ...] | None
    layout: tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """A version that there is."""

    key: Key
    op: str
    seq: int
    statement: int
    xid: int
    at: datetime
    values: Image
    wanted: Wanted


_COLUMNS = """
SELECT a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated::text,
       n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = %s ORDER BY a.attnum
"""


def look(session: psycopg.Connection[Any], table: Table) -> Sight:
    """The table's rows, with what its transaction has changed so far."""
    facts = session.execute(_COLUMNS, [table.oid]).fetchall()
    columns = tuple(Column(*row[:4]) for row in facts)
    name = sql.Identifier(*facts[0][4:])
    kept = [column for column in columns if column.generated != "v"]
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c.name)) for c in kept)
    found = session.execute(sql.SQL("SELECT {} FROM {}").format(texts, name)).fetchall()
    rows: Rows = {}
    for row in found:
        image = {column.attnum: value for column, value in zip(kept, row, strict=True)}
        rows[tuple(image[attnum] for attnum in table.key)] = image
    assert len(rows) == len(found), "two rows of one key"
    return Sight(name, columns, rows, {column.attnum: column.type for column in columns})


def wanted_after(
    table: Table,
    before: Sight,
    after: Sight,
    *,
    moved: Mapping[Key, Key] | None = None,
    replaced: AbstractSet[Key] = frozenset(),
    gone: str = "D",
) -> dict[Key, list[Wanted]]:
    """The versions that one statement has to leave, by key, in their order.

    Args:
        moved: the old key of each row whose key changed, and its new one.
        replaced: rows that were deleted and inserted again.
        gone: `T` after a TRUNCATE.
    """
    moved = moved or {}
    arrived = set(moved.values())
    layout = tuple(
        c.attnum for c in after.columns if c.generated != "v" and c.attnum not in table.excluded
    )
    found: dict[Key, list[Wanted]] = defaultdict(list)

    def note(op: str, key: Key, image: Image, changed: Iterable[int] | None = None) -> None:
        shown = tuple(sorted(table.shown(image).items()))
        bits = None if changed is None else tuple(sorted(changed))
        found[key].append(Wanted(op, shown, bits, layout))

    for key, image in before.rows.items():
        if key in moved:
            note("R", key, image)
        elif key not in after.rows or key in replaced:
            note(gone, key, image)
    for old, new in moved.items():
        one, other = before.rows[old], after.rows[new]
        note("U", new, other, {a for a in layout if one[a] != other[a]})
    for key, image in after.rows.items():
        if key in arrived:
            continue
        was = before.rows.get(key)
        if was is None or key in moved or key in replaced:
            note("I", key, image)
            continue
        changed = {a for a in layout if was[a] != image[a]}
        if changed:
            note("U", key, image, changed)
    return found


def read_history(session: psycopg.Connection[Any], table: Table) -> list[Found]:
    """All versions in the order of change."""
    kept: dict[int, list[str]] = defaultdict(list)
    for attnum, name in session.execute(
        "SELECT attnum, name FROM custody.auditing_historycolumn WHERE tracked_id = %s",
        [table.tracked],
    ).fetchall():
        kept[attnum].append(name)
    layouts = dict(
        session.execute(
            "SELECT id, attnums FROM custody.auditing_layout WHERE tracked_id = %s", [table.tracked]
        ).fetchall()
    )
    places = [(attnum, name) for attnum, names in kept.items() for name in names]
    query = sql.SQL(
        "SELECT op::text, seq, statement, xid, at, layout, changed::text, rest{} FROM history.{}"
        " ORDER BY seq, statement DESC"
    ).format(
        sql.SQL("").join(sql.SQL(", {}::text").format(sql.Identifier(n)) for _, n in places),
        sql.Identifier(table.history),
    )
    found = []
    for op, seq, statement, xid, at, layout, bits, rest, *values in session.execute(query):
        attnums = layouts[layout]
        image: Image = {a: None for a in attnums if a not in table.masked}
        for (attnum, name), value in zip(places, values, strict=True):
            if value is not None:
                assert image.get(attnum) is None, f"{name} has a value beside another one"
                image[attnum] = value
        for text, value in (rest or {}).items():
            if text.isdigit() and value is not None:
                assert image.get(int(text)) is None, f"{text} has a value beside another one"
                image[int(text)] = value
        changed = None
        if bits is not None:
            changed = tuple(sorted(a for a, bit in zip(attnums, bits, strict=True) if bit == "1"))
        wanted = Wanted(op, tuple(sorted(image.items())), changed, tuple(sorted(attnums)))
        key = tuple(image[attnum] for attnum in table.key)
        found.append(Found(key, op, seq, statement, xid, at, image, wanted))
    return found


def newest(
    versions: Iterable[Found], counts: Callable[[Found], bool] = lambda _: True
) -> dict[Key, Found]:
    """Each key's last version of those that count."""
    return {version.key: version for version in versions if counts(version)}


@dataclass
class Rewrite:
    """Values, or whole rows, that came into a table without a change of its rows: by a default, a
    new type, an attached partition."""

    attnum: int
    at: datetime
    committed: datetime | None = None
    keys: AbstractSet[Key] = frozenset()
    """Of whole rows."""
    known_from: datetime | None = None
    """Since when images of all rows with them are there, once a baseline has gone through."""

    def excuses(self, version: Found, moment: datetime) -> bool:
        """The version need not know the value at the moment."""
        return version.at < self.at and self.pending(moment)

    def pending(self, moment: datetime) -> bool:
        """They were there at the moment, and nobody had told the history."""
        return self.at <= moment and (self.known_from is None or moment < self.known_from)


def compare(
    table: Table,
    sight: Sight,
    last: Mapping[Key, Found],
    rewrites: Sequence[Rewrite],
    moment: datetime,
    *,
    unborn: Callable[[Key], bool] = lambda _: False,
) -> None:
    """The last versions show the rows as they were seen, value by value, and no others."""
    there = {key: version for key, version in last.items() if version.op in THERE}
    missing = {
        key
        for key in sight.rows.keys() - there.keys()
        if not unborn(key) and not any(key in r.keys and r.pending(moment) for r in rewrites)
    }
    assert not missing, f"rows without a version at {moment}: {missing}"
    never = {key: there[key] for key in there.keys() - sight.rows.keys()}
    assert not never, f"versions of rows that are not there at {moment}: {never}"
    for key, version in there.items():
        for attnum, value in table.shown(sight.rows[key]).items():
            if version.values.get(attnum) != value:
                excused = any(r.attnum == attnum and r.excuses(version, moment) for r in rewrites)
                # An image taken after the column was dropped cannot have it.
                late = version.op == "B" and attnum not in version.wanted.layout
                assert excused or late, (
                    f"{key}, column {attnum}: {value!r} in the table,"
                    f" {version.values.get(attnum, 'nothing')!r} in {version}"
                )
