"""Holds whose table is not what it was when they were placed."""

from __future__ import annotations

from dataclasses import dataclass

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from retention.models import HoldScope
from retention.selectors.hold_scopes import scope_trouble
from retention.selectors.queries import rows


@dataclass(frozen=True)
class Astray:
    """A scope that does not mean what it meant."""

    scope: HoldScope
    why: str
    meanwhile: str
    """What is protected as things are."""
    remedy: str


def scopes_astray(*, using: str = "default") -> list[Astray]:
    """Of the active holds, those whose table is gone, or too different to be read."""
    scopes = HoldScope.objects.select_related("hold").filter(hold__released_at=None, database=using)
    tables = _tables_now(using)
    found = (_astray(scope, tables.get(scope.pk), using) for scope in scopes)
    return [each for each in found if each is not None]


def _tables_now(using: str) -> dict[int, TableName]:
    """Of each active scope, the name that its table has now; without those that are gone."""
    return {
        each["scope_id"]: TableName(each["schema"], each["name"])
        for each in rows("scopes_tables", {"database": using}, using=using)
    }


def table_now(scope: HoldScope) -> Table | None:
    """The scope's table, under whatever name; None when it is gone."""
    found = rows("scopes_tables", {"database": scope.database}, using=scope.database)
    for each in found:
        if each["scope_id"] == scope.pk:
            return _read(TableName(each["schema"], each["name"]), scope.database)
    return None


def _read(name: TableName, using: str) -> Table | None:
    try:
        return read_table(name, using=using)
    except NoSuchTable:
        return None


def _astray(scope: HoldScope, name: TableName | None, using: str) -> Astray | None:
    table = _read(name, using) if name is not None else None
    if table is None:
        return Astray(
            scope,
            "there is no such table",
            "Archives of it are kept, and a table of that name would be held.",
            f"If it was dropped against the hold, restore it. If rightly, release {scope.hold}.",
        )
    if trouble := scope_trouble(scope, table, using=using):
        return Astray(
            scope,
            trouble,
            f"All of {table.name} is held meanwhile.",
            f"Give the table back what it had, or place a scope that fits and release "
            f"{scope.hold}.",
        )
    return None
