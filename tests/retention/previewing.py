"""Vetoes for the time of a test, and a table too large to be counted at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from operations import vetoes
from operations.catalogue.types import Table, TableName
from operations.vetoes import Protection

CONDITION = {"column": "kind", "operator": "=", "value": "k"}


class Holds:
    """Each case protects rows of `app.events`; None protects them all."""

    def __init__(self, cases: dict[str, str | None]) -> None:
        self.cases = cases

    def protections(self, table: Table, *, using: str) -> Iterator[Protection]:
        if str(table.name) == "app.events":
            for by, rows in self.cases.items():
                yield Protection(by, None if rows is None else sql.SQL(rows))

    def holders(self, name: TableName, *, using: str) -> Iterator[str]:
        yield from self.cases


@contextmanager
def held(cases: dict[str, str | None]) -> Iterator[None]:
    vetoes.register("test", Holds(cases))
    try:
        yield
    finally:
        vetoes.unregister("test")
