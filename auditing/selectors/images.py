"""Where each column of a version stands in the history, followed through every change of columns.

A column is its attnum: it keeps its values when it is renamed, and one that was dropped and added
again is another one. Its value is in one of its history columns (there is one for every type that
it had), or in `rest`. Here values are texts, as PostgreSQL prints them: a text is there whatever
became of the column's type. What is put back is cast where it is put back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import connections
from psycopg import sql

from auditing.models import Handling, TrackedTable
from auditing.selectors.queries import Row, rows
from operations.catalogue.identifiers import Identifier

Image = dict[int, str | None]
"""The values of one version by attnum, as PostgreSQL prints them. Columns that were not there at
the time, that are masked, or that could not be computed again are missing."""


@dataclass(frozen=True)
class Kept:
    """A column of the history table."""

    name: str
    type: str
    """Of the history's column, always one of pg_catalog's: `pg_catalog.int4`."""
    source_type: str
    """Of the audited column at that time."""


@dataclass(frozen=True)
class Live:
    """The column as the audited table has it now."""

    type: str
    """As format_type() prints it."""
    source: str
    """The type itself, with its schema and without modifiers, as history columns name it."""
    base_schema: str
    base_name: str
    """The type under a domain, without modifiers, as pg_type has it."""
    generated: str
    expression: str = ""
    """Of a virtual column: what it is computed from."""
    reads: tuple[int, ...] = ()
    """The attnums in its expression."""

    @property
    def base(self) -> Identifier:
        return Identifier(self.base_schema, self.base_name)


@dataclass(frozen=True)
class ImageColumn:
    """One column of a tracked table, of today or of former times."""

    attnum: int
    name: str
    """Its name now, or when it was dropped."""
    type: str
    handling: Handling
    key_position: int | None
    generated: str
    kept: tuple[Kept, ...]
    """Its history columns, the newest first."""
    live: Live | None
    """None: the column was dropped, or the whole table."""

    @property
    def captured(self) -> bool:
        """Versions hold values of it."""
        return self.handling is Handling.CAPTURED and self.generated != "virtual"

    @property
    def masked(self) -> bool:
        """Versions hold that it changed, and no value."""
        return self.handling is Handling.MASKED

    def text(self, alias: str = "h") -> sql.Composable:
        """Its value in the history row `alias`, as text; NULL where it was NULL or not there."""
        rest = sql.SQL("{} ->> {}").format(Identifier(alias, "rest"), sql.Literal(str(self.attnum)))
        texts = [
            sql.SQL("{}::pg_catalog.text").format(Identifier(alias, each.name))
            for each in self.kept
        ]
        return sql.SQL("COALESCE({})").format(sql.SQL(", ").join([*texts, rest]))


@dataclass(frozen=True)
class Shape:
    """A tracked table's columns, and how to find them in its history."""

    tracked: TrackedTable
    columns: tuple[ImageColumn, ...]
    """All that versions may hold or tell of, by attnum; excluded ones are left out."""
    layouts: dict[int, tuple[int, ...]] = field(repr=False)
    """The attnums of each layout's bits."""

    @property
    def using(self) -> str:
        return self.tracked.database

    @property
    def key(self) -> tuple[ImageColumn, ...]:
        """The columns of the key, in its order."""
        found = [each for each in self.columns if each.key_position is not None]
        return tuple(sorted(found, key=lambda each: each.key_position or 0))

    @property
    def captured(self) -> tuple[ImageColumn, ...]:
        return tuple(each for each in self.columns if each.captured)

    @property
    def virtual(self) -> tuple[ImageColumn, ...]:
        """What is computed again when it is read."""
        return tuple(
            each
            for each in self.columns
            if each.live and each.live.expression and each.handling is Handling.CAPTURED
        )

    @property
    def history(self) -> sql.Composable:
        return self.tracked.history.sql

    def column(self, attnum: int) -> ImageColumn | None:
        return next((each for each in self.columns if each.attnum == attnum), None)

    def named(self, name: str) -> ImageColumn | None:
        """The column that has this name now."""
        return next((each for each in self.columns if each.live and each.name == name), None)

    def was_there(self, layout: int) -> tuple[int, ...]:
        """The attnums of the columns that the table had when the layout was made."""
        return self.layouts.get(layout, tuple(each.attnum for each in self.columns))

    def changed(self, layout: int, bits: str | None) -> tuple[int, ...]:
        """The attnums behind the bits of an update, as the text of a varbit."""
        attnums = self.layouts.get(layout, ())
        return tuple(attnum for attnum, bit in zip(attnums, bits or "", strict=False) if bit == "1")


def shape_of(tracked: TrackedTable) -> Shape:
    """How the versions of the table are read; four queries.

    Of a table that is gone the names and types are those it had last.
    """
    found = rows("live_columns", {"table": tracked.table_oid}, using=tracked.database)
    live = {row["attnum"]: row for row in found}
    kept: dict[int, list[Kept]] = {}
    for each in tracked.history_columns.order_by("-id"):
        kept.setdefault(each.attnum, []).append(Kept(each.name, each.type, each.source_type))
    columns = [
        ImageColumn(
            attnum=each.attnum,
            name=now["name"] if (now := live.get(each.attnum)) else each.name,
            type=now["type"] if now else each.type,
            handling=Handling(each.handling),
            key_position=each.key_position,
            generated=now["generated"] if now else each.generated,
            kept=tuple(kept.get(each.attnum, ())),
            live=_live(now) if now else None,
        )
        for each in tracked.columns.exclude(handling=Handling.EXCLUDED).order_by("attnum")
    ]
    known = set(tracked.columns.values_list("attnum", flat=True))
    # Added since the last look: their values are in `rest`.
    columns += [
        ImageColumn(
            attnum=attnum,
            name=now["name"],
            type=now["type"],
            handling=Handling.CAPTURED,
            key_position=None,
            generated=now["generated"],
            kept=(),
            live=_live(now),
        )
        for attnum, now in live.items()
        if attnum not in known
    ]
    layouts = list(tracked.layouts.all())
    # Added and dropped again between two looks: versions of that time have their values in `rest`.
    passed = {a: name for each in layouts for a, name in zip(each.attnums, each.names, strict=True)}
    columns += [
        ImageColumn(
            attnum=attnum,
            name=name,
            type="text",
            handling=Handling.CAPTURED,
            key_position=None,
            generated="",
            kept=(),
            live=None,
        )
        for attnum, name in passed.items()
        if attnum not in known and attnum not in live
    ]
    columns.sort(key=lambda each: each.attnum)
    return Shape(tracked, tuple(columns), {each.pk: tuple(each.attnums) for each in layouts})


def _live(row: Row) -> Live:
    return Live(
        type=row["type"],
        source=row["source"],
        base_schema=row["base_schema"],
        base_name=row["base_name"],
        generated=row["generated"],
        expression=row["expression"],
        reads=tuple(row["reads"]),
    )


def history_exists(tracked: TrackedTable) -> bool:
    with connections[tracked.database].cursor() as cursor:
        cursor.execute("SELECT pg_catalog.to_regclass(%s)", [str(tracked.history)])
        return bool(cursor.fetchone()[0])
