"""Tables of every shape, and what an application may do with them, chosen by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from psycopg import sql

from .audit_model import Column, Key, Rows, Sight, Table

TYPES = """
CREATE TYPE app.mood AS ENUM ('sad', 'glad');
CREATE TYPE app.pair AS (a int, b text);
CREATE DOMAIN app.short AS text CHECK (length(value) < 9);
CREATE DOMAIN app.price AS numeric;
"""
VALUES: dict[str, tuple[str | None, ...]] = {
    "integer": ("1", "2", "-7", None),
    "bigint": ("1", "9000000000", None),
    "text": ("", "a", "A", "ä'\\\"%s", None),
    "character varying(20)": ("", "b", "B ", None),
    "character varying(40)": ("c", None),
    "character(3)": ("a", "abc", None),
    "numeric": ("1", "1.0", "1.00", "NaN", None),
    "numeric(10,2)": ("1", "2.50", None),
    "double precision": ("0", "-0", "1e300", "NaN", None),
    "boolean": ("t", "f", None),
    "jsonb": ('{"a": 1}', '{"a": 1.0}', "null", "[]", None),
    "json": ('{"a":1}', '{"a": 1}', "null", None),
    "integer[]": ("{1,2}", "[0:1]={1,2}", "{NULL}", "{}", None),
    "interval": ("1 mon", "30 days", "720:00:00", None),
    "bytea": ("\\x00ff", "\\x", None),
    "timestamp with time zone": ("2026-01-01 00:00+00", "infinity", "0044-03-15 BC", None),
    "date": ("2026-02-01", "-infinity", None),
    "uuid": ("8c7e4a52-5f9c-4a8e-b7f7-1f0f3b1f4a10", None),
    "int4range": ("[1,3)", "empty", None),
    "point": ("(1,2)", "(-0,0)", None),
    "inet": ("10.0.0.1", "10.0.0.1/8", None),
    "app.mood": ("sad", "glad", None),
    "app.mood[]": ("{sad}", "{glad,NULL}", "{}", None),
    "app.short": ("x", "X", "", None),
    "app.price": ("1", "1.0", None),
    "app.pair": ("(1,a)", "(,)", None),
}
VALUES["bigint[]"] = ("{1,9000000000}", "{}", None)
HIGHEST = 30
"""Of a key's number; partitions end at 10 and 20."""


@dataclass(frozen=True)
class Shape:
    """How a table of one example is made. `%%` in its text are names that have to be quoted."""

    create: str
    name: str
    key: tuple[str, ...]
    number: str
    """The column of the key that is a number."""
    child: str = ""
    """Another table, whose rows follow."""
    masked: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    rest: tuple[str, ...] = field(default=())
    """What belongs to it."""

    @property
    def partitioned(self) -> bool:
        return "PARTITION BY" in self.create


SHAPES = (
    Shape("CREATE TABLE {} (id integer PRIMARY KEY, {})", "plain", ("id",), "id"),
    Shape(
        'CREATE TABLE {} ({}, "n.o" integer, "Key %" text, PRIMARY KEY ("Key %", "n.o"))',
        'Odd "table" %',
        ("Key %", "n.o"),
        "n.o",
    ),
    Shape(
        "CREATE TABLE {} (id integer, {}, PRIMARY KEY (id)) PARTITION BY RANGE (id)",
        "ranges",
        ("id",),
        "id",
        rest=(
            "CREATE TABLE app.ranges_1 PARTITION OF app.ranges FOR VALUES FROM (MINVALUE) TO (10)",
            "CREATE TABLE app.ranges_2 PARTITION OF app.ranges FOR VALUES FROM (10) TO (20)",
        ),
    ),
    Shape(
        "CREATE TABLE {} (region text, {}, no bigint, PRIMARY KEY (region, no))"
        " PARTITION BY LIST (region)",
        "Lists",
        ("region", "no"),
        "no",
        rest=(
            "CREATE TABLE app.lists_a PARTITION OF app.\"Lists\" FOR VALUES IN ('a')",
            'CREATE TABLE app.lists_rest (LIKE app."Lists" INCLUDING ALL)',
            'ALTER TABLE app."Lists" ATTACH PARTITION app.lists_rest DEFAULT',
        ),
    ),
    Shape(
        "CREATE TABLE {} (id bigint PRIMARY KEY, secret text, seen integer,"
        " doubled integer GENERATED ALWAYS AS (seen * 2) STORED, {})",
        "kept",
        ("id",),
        "id",
        masked=("secret",),
        excluded=("seen",),
    ),
    Shape(
        "CREATE TABLE {} (id integer PRIMARY KEY, {})",
        "parents",
        ("id",),
        "id",
        child="CREATE TABLE app.children (id integer PRIMARY KEY, parent integer REFERENCES"
        " app.parents ON DELETE CASCADE ON UPDATE CASCADE, {})",
    ),
)

PARTITIONS: dict[str, tuple[tuple[str, Key], ...]] = {
    "ranges": (("FROM (20) TO (25)", ("22",)), ("FROM (25) TO (60)", ("26",))),
    "Lists": (("IN ('c')", ("c", "1")), ("IN ('d')", ("d", "1"))),
}
"""That may be attached later, with the key of a row that may come along."""
CHILD = Shape("", "children", ("id",), "id")


def columns_text(chance: random.Random) -> str:
    types = chance.sample(sorted(VALUES), chance.randint(1, 5))
    names = chance.sample(
        ["name", "Value", "at", "seq", "rest", "o", "n", 'x"y', "z %"], len(types)
    )
    return ", ".join(f"{_quoted(name)} {type_}" for name, type_ in zip(names, types, strict=True))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Statement:
    """What a session does, and how it moves keys."""

    text: sql.Composable
    moved: Callable[[Rows], dict[Key, Key]] | None = None
    replaced: frozenset[Key] = frozenset()
    gone: str = "D"
    copied: tuple[tuple[str | None, ...], ...] = ()
    table: int = 0


class Writer:
    """Chooses statements for a table as it is now."""

    def __init__(
        self, shape: Shape, table: Table, sight: Sight, seed: int, parents: Iterable[Key] = ()
    ) -> None:
        self.table, self.sight, self.chance = table, sight, random.Random(seed)
        self.shape, self.parents = shape, [key[0] for key in sorted(parents, key=str)]
        self.names = {column.attnum: column.name for column in sight.columns}
        self.types = {column.attnum: column.type for column in sight.columns}
        self.name = sight.name
        self.free = [c for c in sight.columns if c.attnum not in table.key and not c.generated]

    def literal(self, attnum: int, value: str | None) -> sql.Composable:
        return sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(self.types[attnum]))

    def value(self, column: Column) -> sql.Composable:
        return self.literal(column.attnum, self.text(column))

    def text(self, column: Column) -> str | None:
        if self.shape is CHILD and column.attnum == 2:
            return self.chance.choice([*self.parents, *self.parents, None])
        return self.chance.choice(VALUES[column.type])

    def key(self) -> Key:
        """Of a row that may be there or not."""
        if self.sight.rows and self.chance.random() < 0.4:
            return self.chance.choice(sorted(self.sight.rows, key=str))
        return self.fresh_key()

    def fresh_key(self) -> Key:
        texts = {"text": ("a", "b")}
        return tuple(
            self.chance.choice(texts.get(self.types[attnum], ("",)))
            if attnum != self.number
            else str(self.chance.randint(1, HIGHEST))
            for attnum in self.table.key
        )

    @property
    def number(self) -> int:
        """The attnum of the key's number: its last column, or the one of a type of numbers."""
        return next(
            a for a in self.table.key if self.types[a] != "text" or len(self.table.key) == 1
        )

    def row(self, key: Key) -> sql.Composable:
        values = [self.literal(a, v) for a, v in zip(self.table.key, key, strict=True)]
        return sql.SQL("({})").format(
            sql.SQL(", ").join([*values, *[self.value(column) for column in self.free]])
        )

    @property
    def targets(self) -> sql.Composable:
        names = [self.names[a] for a in self.table.key] + [c.name for c in self.free]
        return sql.SQL(", ").join(map(sql.Identifier, names))

    def chosen(self, least: int = 1) -> list[Key]:
        rows = sorted(self.sight.rows, key=str)
        count = min(len(rows), self.chance.randint(least, 4))
        return self.chance.sample(rows, count)

    def where(self, keys: list[Key], alias: str = "t") -> sql.Composable:
        if not keys:
            return sql.SQL("false")
        names = sql.SQL(", ").join(sql.Identifier(alias, self.names[a]) for a in self.table.key)
        values = [
            sql.SQL("({})").format(
                sql.SQL(", ").join(
                    self.literal(a, v) for a, v in zip(self.table.key, key, strict=True)
                )
            )
            for key in keys
        ]
        return sql.SQL("({}) IN ({})").format(names, sql.SQL(", ").join(values))

    def assignments(self, count: int | None = None) -> sql.Composable:
        if not self.free:
            first = sql.Identifier(self.names[self.table.key[0]])
            return sql.SQL("{0} = {0}").format(first)
        some = self.chance.sample(
            self.free, min(len(self.free), count or self.chance.randint(1, 2))
        )
        return sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(c.name), self.value(c)) for c in some
        )

    def make(self, kind: str) -> Statement:
        made: Statement = getattr(self, kind)()
        return replace(made, table=self.table.oid)

    # One by one.

    def values(self, least: int = 1, most: int = 5) -> sql.Composable:
        keys = {self.fresh_key() for _ in range(self.chance.randint(least, most))}
        return sql.SQL(", ").join(self.row(key) for key in sorted(keys, key=str))

    def insert(self) -> Statement:
        keys = {self.fresh_key() for _ in range(self.chance.randint(1, 5))} - set(self.sight.rows)
        far = str(self.chance.randint(100_000, 1_000_000))
        unused = tuple(
            far if attnum == self.number else part
            for attnum, part in zip(self.table.key, self.fresh_key(), strict=True)
        )
        rows = [self.row(key) for key in sorted(keys or {unused}, key=str)]
        return Statement(self._insert(sql.SQL(", ").join(rows)))

    def _insert(self, values: sql.Composable) -> sql.Composable:
        return sql.SQL("INSERT INTO {} AS t ({}) VALUES {}").format(self.name, self.targets, values)

    def update(self) -> Statement:
        return Statement(
            sql.SQL("UPDATE {} t SET {} WHERE {}").format(
                self.name, self.assignments(), self.where(self.chosen())
            )
        )

    def update_all(self) -> Statement:
        return Statement(sql.SQL("UPDATE {} t SET {}").format(self.name, self.assignments()))

    def nothing(self) -> Statement:
        same = sql.SQL(", ").join(
            sql.SQL("{0} = t.{0}").format(sql.Identifier(c.name))
            for c in [*self.free, *[c for c in self.sight.columns if c.attnum in self.table.key]]
        )
        return Statement(sql.SQL("UPDATE {} t SET {}").format(self.name, same))

    def delete(self) -> Statement:
        return Statement(
            sql.SQL("DELETE FROM {} t WHERE {}").format(self.name, self.where(self.chosen()))
        )

    def rekey_far(self) -> Statement:
        """To where no row is."""
        return self.rekey(self.chance.randint(100, 1_000_000))

    def rekey(self, by: int = 0) -> Statement:
        """id = id + k; where keys of a child follow, none that is also left."""
        keys = self.chosen() if self.chance.random() < 0.6 else list(self.sight.rows)
        if self.shape.child:
            by = by or self.chance.randint(100, 1_000_000)
        by = by or self.chance.choice([1, -1, 5, HIGHEST])
        place = self.table.key.index(self.number)
        chosen = set(keys)

        def moved(before: Rows) -> dict[Key, Key]:
            return {
                key: (*key[:place], str(int(key[place] or 0) + by), *key[place + 1 :])
                for key in before
                if key in chosen
            }

        name = sql.Identifier(self.names[self.number])
        text = sql.SQL("UPDATE {} t SET {} = t.{} + {} WHERE {}").format(
            self.name, name, name, sql.Literal(by), self.where(keys)
        )
        return Statement(text, moved)

    def move(self) -> Statement:
        """The other part of the key changes: of a list, rows go to another partition."""
        texts = [a for a in self.table.key if self.types[a] == "text" and a != self.number]
        if not texts:
            return self.rekey()
        keys, place = self.chosen(), self.table.key.index(texts[0])
        to, chosen = self.chance.choice(["a", "b"]), set(keys)

        def moved(before: Rows) -> dict[Key, Key]:
            return {
                key: (*key[:place], to, *key[place + 1 :])
                for key in before
                if key in chosen and key[place] != to
            }

        changes = [sql.SQL("{} = {}").format(sql.Identifier(self.names[texts[0]]), sql.Literal(to))]
        if self.free and self.chance.random() < 0.5:
            changes.append(self.assignments(1))
        text = sql.SQL("UPDATE {} t SET {} WHERE {}").format(
            self.name, sql.SQL(", ").join(changes), self.where(keys)
        )
        return Statement(text, moved)

    def conflict(self) -> Statement:
        keys = {self.key() for _ in range(self.chance.randint(1, 4))}
        rows = sql.SQL(", ").join(self.row(key) for key in sorted(keys, key=str))
        names = sql.SQL(", ").join(sql.Identifier(self.names[a]) for a in self.table.key)
        if not self.free or self.chance.random() < 0.3:
            then: sql.Composable = sql.SQL("DO NOTHING")
        else:
            column = sql.Identifier(self.chance.choice(self.free).name)
            then = sql.SQL("DO UPDATE SET {0} = excluded.{0}").format(column)
        return Statement(sql.SQL("{} ON CONFLICT ({}) {}").format(self._insert(rows), names, then))

    def merge(self) -> Statement:
        keys = sorted({self.key() for _ in range(self.chance.randint(1, 5))}, key=str)
        names = [sql.Identifier(self.names[a]) for a in self.table.key]
        rows = sql.SQL(", ").join(self.row(key) for key in keys)
        source = sql.SQL("(VALUES {}) s ({})").format(rows, self.targets)
        on = sql.SQL(" AND ").join(sql.SQL("t.{0} = s.{0}").format(name) for name in names)
        targets = [*names, *[sql.Identifier(c.name) for c in self.free]]
        taken = sql.SQL(", ").join(sql.SQL("s.{}").format(name) for name in targets)
        change = (
            sql.SQL("UPDATE SET {0} = s.{0}").format(
                sql.Identifier(self.chance.choice(self.free).name)
            )
            if self.free
            else sql.SQL("DO NOTHING")
        )
        return Statement(
            sql.SQL(
                "MERGE INTO {} t USING {} ON {} WHEN MATCHED AND {} THEN DELETE"
                " WHEN MATCHED THEN {} WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})"
            ).format(self.name, source, on, self.where(keys[:1]), change, self.targets, taken)
        )

    def replace(self) -> Statement:
        """Deleted and inserted again in one statement."""
        if self.shape.child:
            return self.delete()
        keys = self.chosen()
        names = sql.SQL(", ").join(sql.Identifier(self.names[a]) for a in self.table.key)
        values = sql.SQL("").join(sql.SQL(", {}").format(self.value(c)) for c in self.free)
        return Statement(
            sql.SQL(
                "WITH gone AS (DELETE FROM {0} t WHERE {1} RETURNING {2})"
                " INSERT INTO {0} ({3}) SELECT {2}{4} FROM gone"
            ).format(self.name, self.where(keys), names, self.targets, values),
            replaced=frozenset(keys),
        )

    def copy(self) -> Statement:
        keys = sorted({self.fresh_key() for _ in range(4)} - set(self.sight.rows), key=str)
        if not keys:
            return self.insert()
        text = sql.SQL("COPY {} ({}) FROM STDIN").format(self.name, self.targets)
        rows = tuple((*key, *[self.text(column) for column in self.free]) for key in keys)
        return Statement(text, copied=rows)

    def truncate(self) -> Statement:
        cascade = sql.SQL(" CASCADE" if self.shape.child else "")
        return Statement(sql.SQL("TRUNCATE {}{}").format(self.name, cascade), gone="T")


KINDS = (
    "insert", "insert", "copy", "update", "update", "update_all", "nothing", "delete",
    "rekey", "rekey", "move", "conflict", "merge", "merge", "replace", "truncate",
)  # fmt: skip
