"""Random tables, for the proof that what a purge archived comes back exactly."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from tests.retention.round_trip_types import KEY_KINDS, Kind, Value, cast, texts

NAMES = st.one_of(
    st.sampled_from(["order", "Big Name", 'quo"te', "100%", "dot.ted", "t", "l", "c1", "{}", "%s"]),
    st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8
    ),
)


@dataclass(frozen=True)
class RandomColumn:
    name: str
    type: str
    extra: str = ""
    """GENERATED ... as in CREATE TABLE; the column gets no value then."""


@dataclass(frozen=True)
class RandomTable:
    schema: str
    name: str
    columns: list[RandomColumn]
    key: list[str]
    age: str
    rows: list[list[Value]]
    """Of the columns that are not generated."""

    @property
    def sql(self) -> sql.Composable:
        return Identifier(self.schema, self.name)

    @property
    def given(self) -> list[RandomColumn]:
        return [column for column in self.columns if not column.extra]

    @property
    def archived(self) -> list[RandomColumn]:
        """Those whose values an archive has: what is generated from others is made again."""
        return [column for column in self.columns if "AS (" not in column.extra]

    def make(self) -> list[sql.Composable]:
        """The statements that make and fill it."""
        lines: list[sql.Composable] = [
            sql.SQL("{} {} {}").format(
                Identifier(column.name), sql.SQL(column.type), sql.SQL(column.extra)
            )
            for column in self.columns
        ]
        # A column that was dropped leaves a hole in the numbers.
        lines.insert(len(lines) // 2, sql.SQL('"dropped before" int'))
        if self.key:
            names = sql.SQL(", ").join(map(Identifier, self.key))
            lines.append(sql.SQL("PRIMARY KEY ({})").format(names))
        statements: list[sql.Composable] = [
            sql.SQL("CREATE TABLE {} ({})").format(self.sql, sql.SQL(", ").join(lines)),
            sql.SQL('ALTER TABLE {} DROP COLUMN "dropped before"').format(self.sql),
        ]
        names = sql.SQL(", ").join(Identifier(column.name) for column in self.given)
        for row in self.rows:
            values = sql.SQL(", ").join(
                cast(value, column.type) for value, column in zip(row, self.given, strict=True)
            )
            statements.append(
                sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
                    self.sql, names, values
                )
            )
        return statements


@st.composite
def tables(draw: st.DrawFn, kinds: list[Kind], *, virtual: bool) -> RandomTable:
    """A table with a column of each kind, in any order, and a key of up to three columns.

    `virtual`: the server knows virtual generated columns.
    """
    schema, name = draw(st.tuples(NAMES, NAMES))
    key_kinds = draw(st.lists(st.sampled_from(KEY_KINDS), max_size=3))
    age = Kind(draw(st.sampled_from(["timestamptz", "timestamp", "date"])), AGES)
    many = len(kinds) + 5
    names = iter(draw(st.lists(NAMES, min_size=many, max_size=many, unique=True)))
    columns = [(RandomColumn(next(names), kind.type), kind) for kind in key_kinds]
    key = [column.name for column, _ in columns]
    age_column = RandomColumn(next(names), age.type)
    columns += [(RandomColumn(next(names), kind.type), kind) for kind in kinds]
    columns.append((age_column, age))
    columns = draw(st.permutations(columns))
    row = st.tuples(*[_values(kind, required=column.name in key) for column, kind in columns])
    rows = draw(st.lists(row, min_size=1, max_size=5))
    if not key:
        rows += draw(st.lists(st.sampled_from(rows), max_size=3))
    made = [column for column, _ in columns]
    for extra in draw(st.lists(st.sampled_from(_generated(virtual=virtual)), max_size=1)):
        made.insert(draw(st.integers(0, len(made))), RandomColumn(next(names), *extra))
    return RandomTable(
        schema=f"rt {schema}"[:20],
        name=name,
        columns=made,
        key=key,
        age=age_column.name,
        rows=[list(row) for row in rows],
    )


AGES = texts("2001-02-03", "1999-12-31", "-infinity", "infinity", "2001-01-01", "0001-01-01 BC")


def _values(kind: Kind, *, required: bool) -> SearchStrategy[Value]:
    null = st.just(sql.SQL("NULL"))
    return kind.values if required else st.one_of(kind.values, kind.values, null)


def _generated(*, virtual: bool) -> list[tuple[str, str]]:
    found = [
        ("int8", "GENERATED ALWAYS AS IDENTITY"),
        ("text", "GENERATED ALWAYS AS ('made'::text) STORED"),
    ]
    if virtual:
        found.append(("int4", "GENERATED ALWAYS AS (6 * 7) VIRTUAL"))
    return found
