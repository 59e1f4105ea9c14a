"""A table of many types with NULLs everywhere, and random conditions on it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from operations.catalogue.names import quoted
from operations.catalogue.read import table
from operations.catalogue.types import Column, Table, TableName
from operations.conditions.structure import And, Comparison, Condition, Not, Now, Or
from tests.operations.statements import execute, fetch

TEXTS = ["", "a", "A", "ab", "it's", "a%", "50%_", "\\", "a\\b", "\\%", "ü", "'; DROP TABLE x; --"]
MOMENTS = ["2024-01-01", "2024-01-01 12:00:00", "infinity", Now(), Now("-30 days")]
MOMENTS += [Now("-1 month 3 days"), Now("+1 year 6 hours"), Now("-90 minutes")]

# Name: type, what stands in it, what it is compared with beside that.
COLUMNS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "n": ("int", [-1, 0, 1, 2], ["1", 5]),
    "big": ("bigint", [-(2**40), 0, 2**40], [7]),
    "tiny": ("smallint", [1, 2], []),
    "price": ("numeric(10,2)", ["1.00", "1.01", "NaN"], [Decimal("1.005"), 1, Decimal("1.0")]),
    "ratio": ("real", ["0.1", "0.5", "3"], [Decimal("0.1"), Decimal("0.5"), 3]),
    "score": ("float8", ["0.1", "-0", "1e300"], [Decimal("0.1"), 0, Decimal("1E+300")]),
    "flagged": ("bool", [True, False], ["t"]),
    "between": ("bool", [True, False], []),
    "status": ("shop.status", ["open", "on hold", "closed"], []),
    "name": ("text", TEXTS, ["%", "_", "__"]),
    "Order By": ("text", TEXTS, ["%a%"]),
    "short": ("varchar(3)", ["abc", "ab", ""], ["abcd", "ab "]),
    "code": ("char(3)", ["a", "ab ", "abc"], ["a  ", "a%", "abcd"]),
    "exact": ('text COLLATE "C"', ["a", "B"], ["b"]),
    "email": ("shop.work_email", ["a@work", "b@work"], ["no address", "%@%"]),
    "letter": ('"char"', ["a", "b"], ["ab"]),
    "system": ("name", ["a", "b"], ["x" * 70]),
    "seen_at": ("timestamptz(0)", ["2024-01-01", "now", "yesterday"], MOMENTS),
    "local": ("timestamp", ["2024-01-01", "now", "yesterday"], MOMENTS),
    "day": ("date", ["2024-01-01", "today", "yesterday"], [MOMENTS[0], *MOMENTS[2:]]),
    "hour": ("time", ["10:00", "12:00"], ["11:59:59.5"]),
    "span": ("interval", ["1 day", "24 hours", "1 mon"], ["30 days"]),
    "tags": ("text[]", ["{a,b}", "{}"], ['{"its",NULL}']),
    "moods": ("shop.status[]", ["{open}", "{}"], []),
    "period": ("daterange", ["[2024-01-01,2024-02-01)", "empty"], ["[2024-01-01,]"]),
    "periods": ("datemultirange", ["{[2024-01-01,2024-02-01)}", "{}"], []),
    "key": ("uuid", ["00000000-0000-0000-0000-000000000001"], ["{" + "0" * 32 + "}"]),
    "ip": ("inet", ["10.0.0.1", "10.0.0.0/8"], ["::1"]),
    "doc": ("jsonb", ["{}", '{"a": 1}', "null"], ['{"a":1.0}']),
    "raw": ("bytea", ["\\x00ff", "a"], []),
    "bits": ("bit(3)", ["101"], ["10"]),
    "100%": ("int", [1, 2], []),
    'say "hi"': ("int", [1, 2], []),
}
ROWS = 60
_ORDER = ["=", "<>", "<", "<=", ">", ">=", "is distinct from", "is not distinct from"]


def create_table() -> Table:
    """`shop.t` with ROWS rows; each column is NULL in some of them."""
    columns = ", ".join(f"{quoted(name)} {type_}" for name, (type_, _, _) in COLUMNS.items())
    execute(
        "CREATE SCHEMA shop",
        "CREATE TYPE shop.status AS ENUM ('open', 'on hold', 'closed')",
        "CREATE DOMAIN shop.email AS text CHECK (VALUE LIKE '_%@_%')",
        "CREATE DOMAIN shop.work_email AS shop.email CHECK (VALUE LIKE '%@work')",
        f"CREATE TABLE shop.t (id serial, {columns})",
    )
    pools = [[None, *held] for _, held, _ in COLUMNS.values()]
    names = ", ".join(map(quoted, COLUMNS)).replace("%", "%%")
    for row in range(ROWS):
        values = [
            # Columns of the same length must not go in step.
            None if pool[1:] == [] else pool[(row * 7 + row // len(pool) + place) % len(pool)]
            for place, pool in enumerate(pools)
        ]
        fetch(
            f"INSERT INTO shop.t ({names}) VALUES ({', '.join(['%s'] * len(values))}) RETURNING id",
            [None if value is None else str(value) for value in values],
        )
    return table("shop.t")


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    """One that `check_condition` takes."""
    name = draw(st.sampled_from(list(COLUMNS)))
    type_, held, others = COLUMNS[name]
    values = st.sampled_from([*_fixed(type_, held), *others])
    listed = st.sampled_from([v for v in [*_fixed(type_, held), *others] if not isinstance(v, Now)])
    forms = [
        st.builds(Comparison, st.just(name), st.sampled_from(["is null", "is not null"])),
        st.builds(Comparison, st.just(name), st.sampled_from(_ORDER), values),
        st.builds(
            Comparison,
            st.just(name),
            st.sampled_from(["in", "not in"]),
            st.lists(listed, min_size=1, max_size=3).map(tuple),
        ),
        st.builds(Comparison, st.just(name), st.just("between"), st.tuples(values, values)),
    ]
    if type_ == "bool":
        stated = ["is true", "is false", "is not true", "is not false"]
        forms.append(st.builds(Comparison, st.just(name), st.sampled_from(stated)))
    if name in ("name", "Order By", "short", "code", "exact", "email", "system"):
        patterns = st.sampled_from([v for v in [*held, *others, "%a%", "_b%", "\\%"] if v != "\\"])
        matching = st.sampled_from(["like", "ilike", "not like", "not ilike"])
        forms.append(st.builds(Comparison, st.just(name), matching, patterns))
    return draw(st.one_of(forms))


def _fixed(type_: str, held: list[Any]) -> list[Any]:
    return [value for value in held if value not in ("now", "today", "yesterday")]


def conditions() -> st.SearchStrategy[Condition]:
    return st.recursive(
        comparisons(),
        lambda parts: st.one_of(
            st.lists(parts, min_size=2, max_size=4).map(lambda found: And(tuple(found))),
            st.lists(parts, min_size=2, max_size=4).map(lambda found: Or(tuple(found))),
            parts.map(Not),
        ),
        max_leaves=6,
    )


def table_of(**types: str) -> Table:
    """`shop.users` with columns of these base types, without a database."""
    columns = tuple(
        Column(
            name=name,
            position=position,
            type=type_,
            base_type=type_,
            kind="base",
            category="",
            not_null=False,
            generated="",
            identity="",
            has_default=False,
            collation="",
            base_name=type_,
        )
        for position, (name, type_) in enumerate(types.items(), 1)
    )
    return Table(
        name=TableName("shop", "users"),
        oid=1,
        kind="table",
        columns=columns,
        keys=(),
        foreign_keys=(),
        referenced_by=(),
        triggers=(),
        partition_of=None,
        partition_bound="",
        partition_key="",
        leaves=(),
        row_security=False,
        estimated_rows=0,
        estimated_bytes=0,
    )
