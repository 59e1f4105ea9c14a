"""Values that are cast from type to type one by one: PostgreSQL says of each whether it fits.

A plain cast would fail for all rows because of one, and would cut or round some without a word. So
the cast stands in a temporary function that gives NULL where it fails, or where the value does not
come back as what it was. (pg_input_is_valid() tells of texts only, and from version 16 on.)
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DataError, ProgrammingError, connections, transaction
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.catalogue.types import Column
from operations.conditions.render import Text

_BODY = """
BEGIN
  IF {kept} THEN
    RETURN v::{type};
  END IF;
  RETURN NULL;
EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception
  -- So it says that NaN is no integer.
  OR feature_not_supported THEN
  RETURN NULL;
END
"""
_DOCUMENTS = ("json", "jsonb")


@dataclass(frozen=True)
class Conversion:
    """The cast of one archived column to a column of today."""

    number: int
    """Tells the functions of one session apart: the column's place in the layout."""
    read_as: str
    """The type that its text is read as."""
    is_text: bool
    """That type holds any text: a cast from it reads, and cannot round."""
    to: Column

    @property
    def function(self) -> sql.Composable:
        return sql.SQL("pg_temp.{}").format(sql.Identifier(f"custody_cast_{self.number}"))

    def of(self, value: sql.Composable) -> sql.Composable:
        """The value as one of the column's base type; NULL when it does not fit, or is NULL."""
        return sql.SQL("{}({})").format(self.function, value)

    def make(self, *, using: str) -> None:
        """Makes the function, for this session."""
        with connections[using].cursor() as cursor:
            cursor.execute(self._drop())
            cursor.execute(self._create(using))

    def drop(self, *, using: str) -> None:
        with connections[using].cursor() as cursor:
            cursor.execute(self._drop())

    def _drop(self) -> sql.Composable:
        return sql.SQL("DROP FUNCTION IF EXISTS {}").format(self.function)

    def _create(self, using: str) -> sql.Composable:
        base = Identifier(self.to.base_schema, self.to.base_name)
        # The check of a domain is asked when the row goes in, and then named. The types' names are
        # the catalogue's, never a user's.
        type_ = base if self.to.kind == "domain" else sql.SQL(self.to.type)
        body = sql.SQL(_BODY).format(kept=self._kept(type_, base), type=type_)
        return sql.SQL(
            "CREATE FUNCTION {}(v {}) RETURNS {} LANGUAGE plpgsql STABLE STRICT AS {}"
        ).format(
            self.function,
            sql.SQL(self.read_as),
            base,
            Text(body.as_string(connections[using].connection)),
        )

    def _kept(self, type_: sql.Composable, base: sql.Composable) -> sql.Composable:
        """Whether the value keeps its meaning: a text is read, any other comes back the same."""
        if self.to.base_type in _DOCUMENTS and (self.is_text or self.read_as in _DOCUMENTS):
            # Blanks and the order of fields mean nothing there.
            return sql.SQL("true")
        if self.is_text and self.to.category != "S":
            return _same(_cast(type_), _cast(base), numeric=self.to.base_type == "numeric")
        read_as = sql.SQL(self.read_as)
        back = sql.SQL("{}::{}").format(_cast(type_), read_as)
        return _same(back, sql.SQL("v"), numeric=self.read_as.startswith("numeric"))


def _cast(to: sql.Composable) -> sql.Composable:
    return sql.SQL("(v::{})").format(to)


def _same(one: sql.Composable, other: sql.Composable, *, numeric: bool) -> sql.Composable:
    """By their texts, which every type has; but 1.50 and 1.5 are the same number."""
    if numeric:
        return sql.SQL("{} = {}").format(one, other)
    return sql.SQL("({})::pg_catalog.text = ({})::pg_catalog.text").format(one, other)


def castable(conversion: Conversion, *, using: str) -> bool:
    """Whether PostgreSQL has the casts that it needs, to the column's type and back."""
    read_as = sql.SQL(conversion.read_as)
    base = Identifier(conversion.to.base_schema, conversion.to.base_name)
    back = sql.SQL("") if conversion.is_text else sql.SQL("::{}").format(read_as)
    statement = sql.SQL("SELECT NULL::{}::{}{}").format(read_as, base, back)
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(statement)
    except (ProgrammingError, DataError):
        return False
    return True
