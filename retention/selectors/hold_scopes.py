"""What the active holds protect of a table, as conditions on its rows.

Invariants: a row for which a hold's condition is unknown is held. A scope that cannot be read any
more, because the table's columns or its key are others, holds the whole table: what it meant
cannot be told, and a hold wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connections
from psycopg import sql

from operations.catalogue.read import table as read_table
from operations.catalogue.types import Column, Table, TableName
from operations.conditions.check import check_condition
from operations.conditions.describe import describe
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.nodes import And, Comparison, Condition, Not, Or
from operations.conditions.render import render
from operations.conditions.structure import from_json
from operations.exceptions import CustodyError
from operations.record_ids import key_columns, record_id
from operations.vetoes import Protection
from retention.models import HoldScope
from retention.selectors.queries import rows

_ALIKE = {"int2": "int", "int4": "int", "int8": "int", "text": "text", "varchar": "text"}
"""Types of keys whose values have the same text: one may become the other."""


@dataclass(frozen=True)
class ScopeHere:
    """A scope as it bears on one table."""

    scope: HoldScope
    rows: sql.Composable | None
    """Of alias `t`; true or NULL for a held row. None: all of them."""
    trouble: str
    """Why the whole table is held although the scope says less; mostly empty."""
    table: Table
    """The scope's own."""
    within: tuple[int, ...] = ()
    """Partitions (oids) of the asked table that it is limited to; empty: no limit."""

    @property
    def named(self) -> bool:
        """It holds rows by their record ids."""
        return self.scope.kind == HoldScope.Kind.ROWS and not self.trouble

    @property
    def key(self) -> tuple[str, ...]:
        """The columns by which its table's rows are named."""
        return self.table.key.columns if self.table.key else ()

    @property
    def by(self) -> str:
        return f"{self.scope.hold} ({self.trouble})" if self.trouble else str(self.scope.hold)


def scopes_of(table: Table, *, using: str) -> list[ScopeHere]:
    """The scopes of active holds that protect rows of the table, in the order of their making.

    One on a partition protects its rows in the partitioned table too, and the other way round.
    """
    found = rows("scopes_of_family", {"oid": table.oid, "database": using}, using=using)
    if not found:
        return []
    scopes = HoldScope.objects.select_related("hold").in_bulk([each["scope_id"] for each in found])
    tables: dict[int, Table] = {table.oid: table}
    here = []
    for each in found:
        oid = each["oid"]
        if oid not in tables:
            tables[oid] = read_table(TableName(each["schema"], each["name"]), using=using)
        within = _leaves(oid, using) if each["is_below"] else ()
        here.append(_here(scopes[each["scope_id"]], tables[oid], within, using))
    return here


def _here(scope: HoldScope, table: Table, within: tuple[int, ...], using: str) -> ScopeHere:
    trouble = scope_trouble(scope, table, using=using)
    if trouble or scope.kind == HoldScope.Kind.TABLE:
        inside = _inside(within) if within else None
        return ScopeHere(scope, inside, trouble, table, within)
    if scope.kind == HoldScope.Kind.CONDITION:
        rows = render(from_json(scope.condition), table, alias="t")
    else:
        rows = named_rows([scope.pk], table)
    if within:
        rows = sql.SQL("{} AND {}").format(_inside(within), rows)
    return ScopeHere(scope, rows, "", table, within)


def named_rows(scope_ids: list[int], table: Table) -> sql.Composable:
    """The row `t` is named by one of these scopes; never NULL."""
    # By text, so that the index of named rows serves, or a hash table of them.
    return sql.SQL(
        "EXISTS (SELECT FROM custody.retention_heldrow h WHERE h.scope_id = ANY ({}::bigint[])"
        ' AND h.record_id = {} COLLATE pg_catalog."default")'
    ).format(sql.Literal(scope_ids), record_id(table))


def _inside(leaves: tuple[int, ...]) -> sql.Composable:
    return sql.SQL("t.tableoid = ANY ({}::pg_catalog.oid[])").format(sql.Literal(list(leaves)))


def _leaves(oid: int, using: str) -> tuple[int, ...]:
    """The table itself and all below it: which of them has rows makes no difference."""
    query = """
        WITH RECURSIVE below AS (
            SELECT %s::pg_catalog.oid AS node
            UNION
            SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.node
        )
        SELECT node::pg_catalog.int8 FROM below ORDER BY 1
    """
    with connections[using].cursor() as cursor:
        cursor.execute(query, [oid])
        return tuple(row[0] for row in cursor.fetchall())


def protections_of(here: Iterable[ScopeHere]) -> list[Protection]:
    """As vetoes: whole tables first, each condition, then all named rows in one."""
    named, others = named_together(here)
    whole = [Protection(each.by, None) for each in others if each.rows is None]
    conditions = [Protection(each.by, each.rows) for each in others if each.rows is not None]
    together = [
        Protection(", ".join(dict.fromkeys(each.by for each in group)), rows, never_null=True)
        for group, rows in named
    ]
    return whole + conditions + together


def named_together(
    here: Iterable[ScopeHere],
) -> tuple[list[tuple[list[ScopeHere], sql.Composable]], list[ScopeHere]]:
    """Scopes that name rows by the same key, each group with one condition; and all others."""
    groups: dict[tuple[str, ...], list[ScopeHere]] = {}
    others = []
    for each in here:
        if each.named and not each.within:
            groups.setdefault(each.key, []).append(each)
        else:
            others.append(each)
    named = [
        (group, named_rows([each.scope.pk for each in group], group[0].table))
        for group in groups.values()
    ]
    return named, others


# Whether a scope still means what it meant.


def scope_shape(table: Table, condition: Condition | None, *, using: str) -> dict[str, Any]:
    """What is kept with a scope, to see later whether the table is still as it was."""
    return {
        # An oid means something in one database of one cluster only.
        "database": rows("this_database", {}, using=using)[0]["this_database"],
        "key": _key_shape(table),
        "columns": _types(table, condition),
    }


def _types(table: Table, condition: Condition | None) -> dict[str, str]:
    columns = (table.column(name) for name in sorted(_columns(condition)))
    return {column.name: column.type for column in columns if column is not None}


def scope_trouble(scope: HoldScope, table: Table, *, using: str) -> str:
    """Why the scope does not fit the table any more; empty when it does."""
    if scope.kind == HoldScope.Kind.CONDITION:
        return _condition_trouble(scope, table, using)
    if scope.kind == HoldScope.Kind.ROWS:
        return _key_trouble(scope, table)
    return ""


def _condition_trouble(scope: HoldScope, table: Table, using: str) -> str:
    try:
        condition = from_json(scope.condition)
        if _types(table, condition) != scope.shape.get("columns", {}):
            check_condition(condition, table, using=using)
    except ConditionRefused as error:
        return f"its condition does not fit the table any more: {error.reason}".rstrip(".")
    return ""


def _key_trouble(scope: HoldScope, table: Table) -> str:
    try:
        now = [[*_named(column)] for column in key_columns(table)]
    except CustodyError as error:
        return f"it names rows by a key that is gone: {error}".rstrip(".")
    placed = _kept_key(scope)
    types = [each[1] for each in now] == [each[1] for each in placed]
    # Renamed columns keep their places; in a table that was made anew, they keep their names.
    same = any(
        [each[place] for each in now] == [each[place] for each in placed] for place in (0, 2)
    )
    if types and same:
        return ""
    return "it names rows by a key that is another now"


def _key_shape(table: Table) -> list[list[Any]]:
    if table.key is None:
        return []
    return [[*_named(column)] for name in table.key.columns if (column := table.column(name))]


def _named(column: Column) -> tuple[str, str, int]:
    base = f"{column.base_schema}.{column.base_name}"
    return column.name, _ALIKE.get(column.base_type, base), column.position


def _kept_key(scope: HoldScope) -> list[list[Any]]:
    key: list[list[Any]] = scope.shape.get("key", [])
    return key


def _columns(condition: Condition | None) -> set[str]:
    match condition:
        case None:
            return set()
        case And(parts) | Or(parts):
            return set().union(*(_columns(part) for part in parts))
        case Not(part):
            return _columns(part)
        case Comparison():
            return {condition.column}


def condition_text(scope: HoldScope) -> str:
    """The scope's condition as it reads in SQL; empty without one."""
    return describe(from_json(scope.condition)) if scope.condition else ""
