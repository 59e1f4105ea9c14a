"""What of a version can be put back into its table as it is now, column by column.

A value goes back as what it was or not at all: where the column's type, or only its modifier, may
have changed, PostgreSQL casts it one by one and says of each whether it keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connections
from psycopg import sql

from auditing.exceptions import RestoreRefused
from auditing.models import Handling
from auditing.selectors.images import ImageColumn, Kept, Shape
from auditing.selectors.keys import type_name
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Column, Table, TableName
from operations.conversions import Conversion, castable

_NAME = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s
"""
_MEAN_ONE = ("bit", "char")
"""Without quotes these are SQL's own names, for one bit and one character."""
_SAME_TYPE = "SELECT pg_catalog.to_regtype(%s) = pg_catalog.to_regtype(%s)"


@dataclass(frozen=True)
class RestorableColumn:
    """A column whose values in the history can go back."""

    column: Column
    image: ImageColumn
    direct: tuple[Kept, ...]
    """History columns of its very type."""
    casts: tuple[tuple[Kept | None, Conversion], ...]
    """The others, each value of which has to come through unchanged; None stands for `rest`."""

    @property
    def attnum(self) -> int:
        return self.image.attnum

    @property
    def key(self) -> bool:
        return self.image.key_position is not None

    @property
    def equals(self) -> sql.Composable:
        """The operator by which two values of it are equal."""
        schema = self.column.base_schema if self.column.base_kind == "base" else "pg_catalog"
        return sql.SQL("OPERATOR({}.=)").format(Identifier(schema))

    def value(self, alias: str) -> sql.Composable:
        """Of the column's base type; NULL also where the value does not fit it: see `misfit`."""
        base = Identifier(self.column.base_schema, self.column.base_name)
        parts: list[sql.Composable] = [
            sql.SQL("{}::{}").format(Identifier(alias, each.name), base) for each in self.direct
        ]
        parts += [cast.of(_given(self.image, kept, alias)) for kept, cast in self.casts]
        return sql.SQL("COALESCE({})").format(sql.SQL(", ").join(parts))

    def text(self, alias: str) -> sql.Composable:
        """What the table would print of the value, once it is there."""
        base = Identifier(self.column.base_schema, self.column.base_name)
        # What a domain checks is asked when the row goes in.
        type_ = base if self.column.kind == "domain" else sql.SQL(self.column.type)
        return sql.SQL("{}::{}::pg_catalog.text").format(self.value(alias), type_)

    def misfit(self, alias: str) -> sql.Composable:
        """The version has a value that the column does not take any more."""
        return sql.SQL("({} IS NOT NULL AND {} IS NOT DISTINCT FROM NULL)").format(
            self.image.text(alias), self.value(alias)
        )


def _given(image: ImageColumn, kept: Kept | None, alias: str) -> sql.Composable:
    if kept is not None:
        return Identifier(alias, kept.name)
    return sql.SQL("({} ->> {})").format(Identifier(alias, "rest"), sql.Literal(str(image.attnum)))


OWN_SCHEMA = "custody"


@dataclass(frozen=True)
class Restorable:
    """A table, and which of its columns take values of its versions."""

    shape: Shape
    table: Table
    columns: tuple[RestorableColumn, ...]
    masked: tuple[str, ...]
    """Columns whose values are not kept."""
    excluded: tuple[str, ...]

    def of(self, attnum: int) -> RestorableColumn | None:
        return next((each for each in self.columns if each.attnum == attnum), None)

    @property
    def key(self) -> tuple[RestorableColumn, ...]:
        found = {each.attnum: each for each in self.columns}
        return tuple(found[each.attnum] for each in self.shape.key)

    @property
    def casts(self) -> Iterable[Conversion]:
        return [cast for each in self.columns for _, cast in each.casts]

    @contextmanager
    def ready(self) -> Iterator[None]:
        """While its expressions are used: their functions are there, for this session alone.

        Belongs inside of a transaction; a rollback takes them away too.
        """
        using = self.shape.using
        for cast in self.casts:
            cast.make(using=using)
        yield
        for cast in self.casts:
            cast.drop(using=using)

    def live(self, alias: str, column: RestorableColumn) -> Identifier:
        return Identifier(alias, column.column.name)

    def same_key(self, live: str, history: str) -> sql.Composable:
        """The live row of one alias has the key of the history row of the other."""
        return sql.SQL("({})").format(
            sql.SQL(" AND ").join(
                sql.SQL("{} {} {}").format(self.live(live, each), each.equals, each.value(history))
                for each in self.key
            )
        )


def restorable(shape: Shape, *, rest: Collection[int] | None = None) -> Restorable:
    """
    Args:
        rest: the attnums that may have a value in `rest`; None when that is not known.

    Raises:
        RestoreRefused: the table is gone, or it cannot be written to row by row.
    """
    table = _table(shape)
    columns: list[RestorableColumn] = []
    masked, excluded = [], []
    known = {each.attnum: each for each in shape.columns}
    out = set(
        shape.tracked.columns.filter(handling=Handling.EXCLUDED).values_list("attnum", flat=True)
    )
    for column in table.columns:
        image = known.get(column.position)
        if column.position in out:
            excluded.append(column.name)
        elif image is not None and image.masked:
            masked.append(column.name)
        elif image is not None and not column.generated:
            in_rest = rest is None or image.attnum in rest
            columns.append(_column(image, column, in_rest, shape))
    found = Restorable(shape, table, tuple(columns), tuple(masked), tuple(excluded))
    present = {each.attnum for each in columns}
    lost = [each.name for each in shape.key if each.attnum not in present]
    if lost:
        raise RestoreRefused(
            f"{table.name} has no column {', '.join(map(quoted, lost))} any more, which its "
            "audited rows are named by: nothing can be put back."
        )
    return found


def _table(shape: Shape) -> Table:
    with connections[shape.using].cursor() as cursor:
        cursor.execute(_NAME, [shape.tracked.table_oid])
        found = cursor.fetchone()
    try:
        if found is None:
            raise NoSuchTable(shape.tracked.schema_name, shape.tracked.table_name)
        table = read_table(TableName(*found), using=shape.using)
    except NoSuchTable:
        raise RestoreRefused(
            f"There is no table {shape.tracked} any more. Its history can still be read: "
            "manage.py audit_history, custody.audit_log."
        ) from None
    if table.name.schema == OWN_SCHEMA:
        # It would go around the second pair of eyes, and around who may do what.
        raise RestoreRefused(
            f"{table.name} is the console's own: what is agreed, held and allowed is changed by "
            "its pages and commands, with the approvals they ask for."
        )
    if table.kind == "foreign":
        raise RestoreRefused(f"{table.name} is a foreign table: restore where its rows are.")
    if table.row_security:
        raise RestoreRefused(
            f"Row-level security hides rows of {table.name} from the console. Give the console's "
            "role BYPASSRLS, or exempt it."
        )
    return table


def _column(image: ImageColumn, column: Column, in_rest: bool, shape: Shape) -> RestorableColumn:
    using, table = shape.using, shape.tracked.pk
    direct: list[Kept] = []
    casts: list[tuple[Kept | None, Conversion]] = []
    base = f"{quoted(column.base_schema)}.{quoted(column.base_name)}"
    for place, kept in enumerate(image.kept):
        type_ = type_name(kept.type)
        if type_ in _MEAN_ONE:
            type_ = f'"{type_}"'
        with connections[using].cursor() as cursor:
            cursor.execute(_SAME_TYPE, [type_, base])
            same = cursor.fetchone()[0]
        if same and "(" not in column.type:
            direct.append(kept)
            continue
        is_text = type_ == "text"
        cast = Conversion(_number(table, image, place), type_, is_text, column)
        # What PostgreSQL has no cast for is no value of the column's any more.
        if castable(cast, using=using):
            casts.append((kept, cast))
    if in_rest or not (direct or casts):
        rest = Conversion(_number(table, image, len(image.kept)), "text", is_text=True, to=column)
        casts.append((None, rest))
    return RestorableColumn(column, image, tuple(direct), tuple(casts))


def _number(table: int, image: ImageColumn, place: int) -> int:
    """Tells the functions of a session apart, of several tables too."""
    return (table * 10_000 + image.attnum) * 100 + place
