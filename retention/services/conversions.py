"""Values that are cast from type to type one by one: PostgreSQL says of each whether it fits.

A plain cast would fail for all rows because of one. So the cast stands in a temporary function that
gives NULL where it fails. pg_input_is_valid() would tell of texts only, and from version 16 on.
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
  RETURN v::{type};
EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception THEN
  RETURN NULL;
END
"""


@dataclass(frozen=True)
class Conversion:
    """The cast of one archived column, read as `read_as`, to a live column's type."""

    number: int
    """Tells the functions of one session apart: the column's place in the layout."""
    read_as: str
    to: Column

    @property
    def function(self) -> sql.Composable:
        return sql.SQL("pg_temp.{}").format(sql.Identifier(f"custody_cast_{self.number}"))

    def of(self, value: sql.Composable) -> sql.Composable:
        """The value as one of the live type; NULL when it does not fit, or is NULL."""
        return sql.SQL("{}({})").format(self.function, value)

    def make(self, *, using: str) -> None:
        """Makes the function, for this session."""
        # The types' names are the catalogue's, never a user's.
        body = _BODY.format(type=self.to.type)
        statement = sql.SQL(
            "CREATE OR REPLACE FUNCTION {}(v {}) RETURNS {} LANGUAGE plpgsql STABLE STRICT AS {}"
        ).format(
            self.function,
            sql.SQL(self.read_as),
            Identifier(self.to.base_schema, self.to.base_name),
            Text(body),
        )
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            # A function that returned another type cannot be replaced.
            cursor.execute(self._drop())
            cursor.execute(statement)

    def drop(self, *, using: str) -> None:
        with connections[using].cursor() as cursor:
            cursor.execute(self._drop())

    def _drop(self) -> sql.Composable:
        return sql.SQL("DROP FUNCTION IF EXISTS {}").format(self.function)


def castable(read_as: str, to: Column, *, using: str) -> bool:
    """Whether PostgreSQL has a cast between the two types."""
    statement = sql.SQL("SELECT NULL::{}::{}").format(
        sql.SQL(read_as), Identifier(to.base_schema, to.base_name)
    )
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(statement)
    except (ProgrammingError, DataError):
        return False
    return True
