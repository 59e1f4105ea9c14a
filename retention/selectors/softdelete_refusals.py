"""What keeps a table from having soft delete, each in a sentence that says what to do."""

from __future__ import annotations

from django.db import connections

from operations.catalogue.identifiers import quoted
from operations.catalogue.read import OWN_SCHEMAS
from operations.catalogue.types import Table, TableName
from operations.record_ids import NoRecordId, key_columns
from retention.models import SoftDeleteTable
from retention.selectors.queries import Row
from retention.selectors.softdelete_closure import Closure, Edge
from retention.selectors.softdelete_steps import column_obstacle

_TAKEN = """
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
       WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'
       WHEN 'c' THEN 'type' ELSE 'table' END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""


def kind_obstacles(table: Table, facts: Row) -> list[str]:
    """Tables of a kind that cannot have it; with one, nothing else is worth saying."""
    if table.name.schema in OWN_SCHEMAS:
        return [f"{table.name} is the console's own: its records are not deleted by people."]
    if table.kind == "foreign" or facts["foreign_leaf"]:
        which = "is" if table.kind == "foreign" else "has a partition that is"
        return [f"{table.name} {which} a foreign table: soft delete works where its rows are."]
    if table.partition_of is not None:
        return [
            (
                f"{table.name} is a partition of {table.partition_of}: enable soft delete on that, "
                "its partitions have it with it."
            )
        ]
    if table.heirs or facts["heir"]:
        related = f" ({', '.join(map(str, table.heirs))})" if table.heirs else ""
        return [
            (
                f"{table.name} takes part in inheritance{related}: a row shows in several tables "
                "there. Make it a partitioned table, or end it: ALTER TABLE ... NO INHERIT ..."
            )
        ]
    return []


def table_obstacles(table: Table, facts: Row, row: SoftDeleteTable | None, view: str) -> list[str]:
    """Of one table that is to have it."""
    found = kind_obstacles(table, facts)
    if found:
        return found
    try:
        key_columns(table)
    except NoRecordId as error:
        found.append(_keyless(table, str(error)))
    if facts["temporal"]:
        found.append(
            f"{table.name} has a key with a period ({', '.join(facts['temporal'])}): its rows lie "
            "in time, and soft delete does not know how to take a part of it."
        )
    if table.row_security:
        found.append(
            f"Row-level security hides rows of {table.name} from the console, which would delete "
            "and restore in part: give its role BYPASSRLS, or a policy that shows it all rows."
        )
    found += column_obstacle(table)
    found += _lacking(table.name, facts)
    found += _view_taken(table.name, row, view)
    return found


def _keyless(table: Table, why: str) -> str:
    if table.key is None and table.kind == "partitioned":
        return (
            f"{table.name} has no key that tells its rows apart. Give it a primary key, or a "
            "unique constraint on columns that are NOT NULL, with those it is partitioned by "
            f"({table.partition_key})."
        )
    if table.key is None:
        return (
            f"{table.name} has no key that tells its rows apart. Give it one: ALTER TABLE "
            f"{table.name} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, or make "
            "the columns of a unique constraint NOT NULL."
        )
    return f"{why} Give it a key of plain types."


def _lacking(table: TableName, facts: Row) -> list[str]:
    """Privileges that the console needs for what it does later."""
    found = []
    if facts["schema_closed"]:
        found.append(f"GRANT USAGE ON SCHEMA {quoted(table.schema)} TO {quoted(facts['role'])}")
    if facts["lacking"]:
        found.append(f"GRANT {', '.join(facts['lacking'])} ON {table} TO {quoted(facts['role'])}")
    if not facts["may_create"]:
        found.append(f"GRANT CREATE ON SCHEMA {quoted(table.schema)} TO {quoted(facts['role'])}")
    if not found:
        return []
    return [f"The console's role lacks rights on {table}: {'; '.join(found)};"]


def _view_taken(table: TableName, row: SoftDeleteTable | None, view: str) -> list[str]:
    if row is not None and row.view_name == view and row.schema_name == table.schema:
        return []
    with connections["default" if row is None else row.database].cursor() as cursor:
        cursor.execute(_TAKEN, [table.schema, view])
        taken = cursor.fetchone()
    if taken is None:
        return []
    name = TableName(table.schema, view)
    drop = f"ALTER {taken[0].upper()} {name} RENAME TO ..." if taken[0] != "type" else "rename it"
    return [
        (
            f"The view of active rows would be {name}, and there is a {taken[0]} of that name: "
            f"give it another ({drop}), or drop it when it shows active rows too."
        )
    ]


def owner_obstacle(table: Table, facts: Row) -> str:
    """Of a table that somebody else has to change; empty when the console owns it."""
    if facts["owned"]:
        return ""
    owner, role = quoted(facts["owner"]), quoted(facts["role"])
    return (
        f"Only the owner of {table.name} may change it: GRANT {owner} TO {role}; or let {owner} "
        "run the SQL that --dry-run prints for it, then run this again: it finds all of it there, "
        "and goes on."
    )


def severed_obstacles(closure: Closure, facts: dict[int, Row]) -> list[str]:
    """Tables that stay, and whose references are set to NULL and put back."""
    found = []
    severed: dict[TableName, list[Edge]] = {}
    for edge in closure.edges:
        if edge.meaning == "severed" and edge.child in closure.others:
            severed.setdefault(edge.child, []).append(edge)
    for name, edges in severed.items():
        child, keys = closure.others[name], ", ".join(sorted({each.key.name for each in edges}))
        what = f"{keys} of {name} is set when a row of {edges[0].parent} is deleted"
        try:
            key_columns(child)
        except NoRecordId:
            found.append(
                f"{what}, and {name} has no key by which the value could be put back. Give it one, "
                f"or let its rows go along: --along {name}."
            )
        if child.row_security:
            found.append(
                f"{what}, and row-level security hides rows of {name} from the console: give its "
                "role BYPASSRLS, or a policy that shows it all rows."
            )
        missing = [p for p in facts[child.oid]["lacking"] if p != "DELETE"]
        if missing:
            role = quoted(facts[child.oid]["role"])
            found.append(f"{what}: GRANT {', '.join(missing)} ON {name} TO {role};")
    return found
