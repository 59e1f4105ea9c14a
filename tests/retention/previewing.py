"""Vetoes for the time of a test, terms nobody saved, and what the command tells of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from django.core.management import call_command
from psycopg import sql

from operations import vetoes
from operations.catalogue.types import Table, TableName
from operations.vetoes import Protection
from retention.models import RetentionPolicy

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


def unsaved(table: str = "events", **terms: Any) -> RetentionPolicy:
    given = {
        "name": table,
        "schema_name": "app",
        "table_name": table,
        "age_column": "created_at",
        "keep_hours": 24 * 365,
        **terms,
    }
    return RetentionPolicy(**given)


def told(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("policy_preview", *arguments, "--json", stdout=out)
    document: dict[str, Any] = json.loads(out.getvalue())
    return document
