"""Types of every kind that PostgreSQL has, with the values that are hard to carry."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from psycopg import sql

Value = sql.Composable
"""An SQL expression."""

# Everything that CSV, COPY or a terminal may stumble over.
TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "\\.", "a\n\\.\nb", '"', "''", "\\N", "NULL", ",", "\r\n", "a\tb", "\\", "é漢🙂"]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
)


def literal(text: str) -> Value:
    return sql.Literal(text)


def texts(*samples: str) -> SearchStrategy[Value]:
    return st.sampled_from(samples).map(literal)


def integers(bits: int) -> SearchStrategy[Value]:
    most = 2 ** (bits - 1)
    return st.integers(-most, most - 1).map(str).map(literal)


@dataclass(frozen=True)
class Kind:
    """A type, and how a value of it is written."""

    type: str
    values: SearchStrategy[Value]
    can_be_key: bool = True


FLOATS = st.one_of(
    st.sampled_from(["NaN", "Infinity", "-Infinity", "-0", "0.1", "1.7976931348623157e308"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
).map(literal)
DECIMALS = texts("NaN", "Infinity", "-Infinity", "0", "1.50", "1.5", "-0.000", "1e40", "1e-40")
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
).map(lambda tree: literal(json.dumps(tree, indent=1).replace("\\u0000", "")))
MOMENTS = texts(
    "infinity",
    "-infinity",
    "2024-02-29 12:34:56.789012",
    "0044-03-15 00:00:00 BC",
    "1970-01-01",
    "9999-12-31 23:59:59.999999",
    "294276-12-31",
)
TIMES = texts("00:00", "23:59:59.999999", "24:00", "12:30:00.5")

BUILT_IN = [
    Kind("bool", texts("t", "f")),
    Kind("int2", integers(16)),
    Kind("int4", integers(32)),
    Kind("int8", integers(64)),
    Kind("oid", texts("0", "4294967295")),
    Kind("numeric", DECIMALS),
    Kind("numeric(12,2)", texts("NaN", "1.50", "-9999999999.99", "0")),
    Kind("float4", texts("NaN", "Infinity", "-0", "0.1", "1e-38", "3.4028235e38")),
    Kind("float8", FLOATS),
    Kind("money", texts("0", "12.34", "-92233720368547758.08")),
    Kind("text", TEXTS.map(literal)),
    Kind("varchar(9)", TEXTS.map(lambda text: literal(text[:9]))),
    Kind("char(4)", texts("", "a", "ab ", "abcd", '"', "\\.")),
    Kind('"char"', texts("", "a", '"', "\\200", ",")),
    Kind("name", texts("", "pg_class", 'a"b')),
    Kind("bytea", st.binary(max_size=9).map(lambda data: literal(f"\\x{data.hex()}"))),
    Kind("uuid", st.uuids().map(str).map(literal)),
    Kind("json", JSONS, can_be_key=False),
    Kind("jsonb", JSONS),
    Kind("date", texts("infinity", "-infinity", "2024-02-29", "0044-03-15 BC", "5874897-12-31")),
    Kind("time", TIMES),
    Kind("time(2)", TIMES),
    Kind("timetz", texts("00:00+00", "23:59:59.999999-15:59", "12:00+05:30")),
    Kind("timestamp", MOMENTS),
    Kind("timestamptz", MOMENTS),
    Kind("timestamptz(0)", texts("2024-03-31 02:30+01", "infinity")),
    Kind("interval", texts("0", "1 mon -3 days 04:05:06.789", "-178000000 years", "24:00")),
    Kind("interval day to second(2)", texts("1 day 02:03:04.56", "-00:00:01")),
    Kind("inet", texts("1.2.3.4", "1.2.3.4/24", "::1", "2001:db8::/32")),
    Kind("cidr", texts("10.0.0.0/8", "1.2.3.4/32", "2001:db8::/32")),
    Kind("macaddr", texts("08:00:2b:01:02:03")),
    Kind("macaddr8", texts("08:00:2b:01:02:03:04:05")),
    Kind("bit(3)", texts("000", "101")),
    Kind("varbit", texts("", "1", "0101010101010101")),
    Kind("tsvector", texts("", "'a':1A,2 'it''s':3", "'\"' '\\\\'")),
    Kind("tsquery", texts("", "'a' & !'b' | 'c':*")),
    Kind("pg_lsn", texts("0/0", "FFFFFFFF/FFFFFFFF")),
    Kind("point", texts("(0,-0)", "(1.5,NaN)", "(Infinity,1e-300)"), can_be_key=False),
    Kind("line", texts("{1,-1,0}"), can_be_key=False),
    Kind("lseg", texts("[(0,0),(1,1)]"), can_be_key=False),
    Kind("box", texts("(1,1),(0,0)"), can_be_key=False),
    Kind("path", texts("((0,0),(1,1))", "[(0,0),(1,1)]"), can_be_key=False),
    Kind("polygon", texts("((0,0),(1,1),(1,0))"), can_be_key=False),
    Kind("circle", texts("<(0,0),2>"), can_be_key=False),
    Kind("int4range", texts("empty", "[1,5)", "(,)", "[3,)")),
    Kind("numrange", texts("empty", "[1.50,2)", "(,NaN]", "(1,2]")),
    Kind("tstzrange", texts("empty", "[2024-01-01,infinity)", "(,2024-01-01 10:00+02)")),
    Kind("int8multirange", texts("{}", "{[1,3),[7,)}")),
    Kind("datemultirange", texts("{}", "{[2024-01-01,2024-01-05),[2025-01-01,infinity)}")),
]

MAKE_TYPES = """
CREATE SCHEMA "type lib";
CREATE TYPE "type lib"."Mood %" AS ENUM ('', 'sad', 'it''s, "fine"', 'ünïcode', E'new\\nline');
CREATE DOMAIN "type lib".word AS varchar(12) CHECK (length(VALUE) < 13);
CREATE DOMAIN "type lib"."Short Word" AS "type lib".word CHECK (VALUE <> 'never');
CREATE DOMAIN "type lib".mood AS "type lib"."Mood %";
CREATE DOMAIN "type lib".positive AS numeric(8,3) CHECK (VALUE > 0);
CREATE DOMAIN "type lib".few AS int4[] CHECK (cardinality(VALUE) < 9);
CREATE TYPE "type lib".pair AS (
    "A b" text, mood "type lib"."Mood %", n "type lib".positive, many text[]);
CREATE DOMAIN "type lib".good_pair AS "type lib".pair
    CHECK ((VALUE)."A b" IS DISTINCT FROM 'never');
CREATE TYPE "type lib"."Range" AS RANGE (
    subtype = float8, multirange_type_name = "type lib"."Ranges");
CREATE TYPE "type lib".moods AS RANGE (subtype = "type lib"."Mood %");
"""

_MOODS = texts("", "sad", 'it\'s, "fine"', "ünïcode", "new\nline")
_WORDS = st.one_of(texts("", "\\.", 'a"b', "x,y", "\n"), TEXTS.map(lambda text: literal(text[:12])))
_POSITIVE = texts("0.001", "99999.999", "1.5")


def cast(value: Value, type_: str) -> Value:
    return sql.SQL("{}::{}").format(value, sql.SQL(type_))


def array_of(inner: Kind) -> Kind:
    element = st.none() | inner.values

    def write(items: list[Value | None]) -> Value:
        parts = [sql.SQL("NULL") if item is None else cast(item, inner.type) for item in items]
        return sql.SQL("ARRAY[{}]::{}[]").format(sql.SQL(",").join(parts), sql.SQL(inner.type))

    return Kind(f"{inner.type}[]", st.lists(element, max_size=3).map(write), inner.can_be_key)


def pairs() -> SearchStrategy[Value]:
    parts = st.tuples(
        st.none() | TEXTS.map(literal),
        st.none() | _MOODS,
        st.none() | _POSITIVE,
        st.none() | st.lists(TEXTS.map(literal), max_size=2),
    )

    def write(row: tuple[Value | None, Value | None, Value | None, list[Value] | None]) -> Value:
        text, mood, number, many = (sql.SQL("NULL") if part is None else part for part in row)
        if isinstance(many, list):
            many = sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(",").join(many))
        casts = '{}::text, {}::"type lib"."Mood %", {}::"type lib".positive, {}'
        return sql.SQL(f"ROW({casts})").format(text, mood, number, many)

    return parts.map(write)


OWN = [
    Kind('"type lib"."Mood %"', _MOODS),
    Kind('"type lib".mood', _MOODS),
    Kind('"type lib".word', _WORDS),
    Kind('"type lib"."Short Word"', _WORDS),
    Kind('"type lib".positive', _POSITIVE),
    Kind('"type lib".few', texts("{}", "{1,NULL}", "[0:1]={7,8}", "{{1,2},{3,4}}")),
    Kind('"type lib".pair', pairs()),
    Kind('"type lib".good_pair', pairs()),
    Kind('"type lib"."Range"', texts("empty", "[-Infinity,0.1)", "(,)")),
    Kind('"type lib"."Ranges"', texts("{}", "{[1,2),(3,4]}")),
    Kind('"type lib".moods', texts("empty", '["",sad)', "[sad,)")),
]

# A range or an array can hold values of any other type: each kind of nesting once at least.
ARRAYS = [array_of(kind) for kind in (*BUILT_IN, *OWN) if "[]" not in kind.type]
KINDS = [*BUILT_IN, *OWN, *ARRAYS]
KEY_KINDS = [kind for kind in KINDS if kind.can_be_key]
