"""Changes of a table's columns and of its name, chosen by a seed."""

from __future__ import annotations

import random

from psycopg import sql

from .audit_model import Column, Sight, Table
from .random_tables import CHILD, VALUES, Shape

WIDER = {
    "integer": ("bigint", "text", "numeric"),
    "bigint": ("numeric", "text"),
    "character varying(20)": ("character varying(40)", "text"),
    "numeric(10,2)": ("numeric", "text", "double precision"),
    "numeric": ("text", "numeric(10,2)"),
    "app.mood": ("text",),
    "app.short": ("text",),
    "app.price": ("numeric",),
    "jsonb": ("text", "json"),
    "date": ("timestamp with time zone",),
    "integer[]": ("bigint[]",),
    "boolean": ("text",),
    "interval": ("text",),
}


def altered(shape: Shape, table: Table, sight: Sight, seed: int) -> sql.Composable:
    """A change of the table's columns, or of its name."""
    chance = random.Random(seed)
    free = [c for c in sight.columns if c.attnum not in table.key]
    plain = [c for c in free if not c.generated and c.attnum not in table.masked | table.excluded]
    fresh = sql.Identifier(f"c{seed % 1000} %")
    kinds = ["add", "add", "table"]
    if plain:
        kinds += ["drop", "again", "rename", "type", "type"]
    kind = chance.choice(kinds)
    retyped = _retyped(chance, shape, table, sight, plain)
    if kind == "type" and retyped is not None:
        change = retyped
    elif kind == "drop":
        change = sql.SQL("DROP COLUMN {}").format(sql.Identifier(chance.choice(plain).name))
    elif kind == "again":
        name = sql.Identifier(chance.choice(plain).name)
        type_ = sql.SQL(chance.choice(sorted(VALUES)))
        change = sql.SQL("DROP COLUMN {0}, ADD COLUMN {0} {1}").format(name, type_)
    elif kind == "rename":
        column = sql.Identifier(chance.choice(sight.columns).name)
        change = sql.SQL("RENAME COLUMN {} TO {}").format(column, fresh)
    elif kind == "table":
        change = sql.SQL("RENAME TO {}").format(sql.Identifier(f"{shape.name} {seed % 99}"))
    else:
        change = sql.SQL("ADD COLUMN {} {}").format(fresh, _column(chance))
    return sql.SQL("ALTER TABLE {} {}").format(sight.name, change)


def _column(chance: random.Random) -> sql.Composable:
    type_ = chance.choice(sorted(VALUES))
    value = chance.choice(VALUES[type_])
    if chance.random() < 0.1:
        return sql.SQL("double precision DEFAULT random()")
    if value is None or chance.random() < 0.3:
        return sql.SQL(type_)
    return sql.SQL("{0}{1} DEFAULT {2}::{0}").format(
        sql.SQL(type_),
        sql.SQL(" NOT NULL" if chance.random() < 0.5 else ""),
        sql.Literal(value),
    )


def _retyped(
    chance: random.Random, shape: Shape, table: Table, sight: Sight, plain: list[Column]
) -> sql.Composable | None:
    may = [c for c in plain if c.type in WIDER]
    if not shape.partitioned and not shape.child and shape is not CHILD:
        may += [c for c in sight.columns if c.attnum in table.key and c.type == "integer"]
    if not may:
        return None
    column = chance.choice(may)
    to = "bigint" if column.attnum in table.key else chance.choice(WIDER[column.type])
    return sql.SQL("ALTER COLUMN {0} TYPE {1} USING {0}::{1}").format(
        sql.Identifier(column.name), sql.SQL(to)
    )
