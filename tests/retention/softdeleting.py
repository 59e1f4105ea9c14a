"""Tables with soft delete, for tests of what it does; enabling itself has its own tests."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from psycopg import sql

from operations.catalogue.types import TableName
from retention.models import Deletion, SoftDeleteTable


def enable(
    name: str,
    *,
    along: Collection[str] = (),
    capture: bool = False,
    row_security: bool = False,
    hidden_from: Sequence[str] = (),
    unique_active: Sequence[str] = (),
    grace_days: int = 30,
) -> SoftDeleteTable:
    """What softdelete_enable does to `app.name`, and to that table alone.

    Args:
        along: tables of the same schema whose rows go along although their key does not cascade.
        unique_active: unique constraints, by name, that become unique over active rows.
    """
    with connection.cursor() as cursor:

        def run(query: str, *parts: str) -> None:
            cursor.execute(sql.SQL(query).format(*map(sql.Identifier, parts)))

        run(
            "ALTER TABLE app.{} ADD COLUMN deleted_at timestamptz, ADD COLUMN deleted_by text,"
            " ADD COLUMN deletion_id bigint",
            name,
        )
        run(
            "CREATE INDEX {} ON app.{} (deletion_id) WHERE deletion_id IS NOT NULL",
            f"{name}_deletion",
            name,
        )
        for constraint in unique_active:
            cursor.execute(
                "SELECT pg_catalog.pg_get_constraintdef(c.oid) FROM pg_catalog.pg_constraint c"
                " WHERE c.conname = %s",
                [constraint],
            )
            columns = cursor.fetchone()[0].removeprefix("UNIQUE ")
            run("ALTER TABLE app.{} DROP CONSTRAINT {}", name, constraint)
            cursor.execute(
                sql.SQL("CREATE UNIQUE INDEX {} ON app.{} {} WHERE deleted_at IS NULL").format(
                    sql.Identifier(constraint), sql.Identifier(name), sql.SQL(columns)
                )
            )
        cursor.execute("SELECT pg_catalog.to_regclass(%s)::oid::int8", [f'app."{name}"'])
        oid = cursor.fetchone()[0]
        entry = SoftDeleteTable.objects.create(
            schema_name="app",
            table_name=name,
            table_oid=oid,
            along=[["app", each] for each in along],
            grace_days=grace_days,
            capture_deletes=capture,
            row_security=row_security,
            hidden_from=list(hidden_from),
            view_name=f"active_{name}",
            enabled_by="console:test",
            ready_at=timezone.now(),
        )
        cursor.execute(
            "SELECT pg_catalog.to_regprocedure('custody.softdelete_shield_make(oid)') IS NOT NULL"
        )
        if cursor.fetchone()[0]:
            cursor.execute("SELECT custody.softdelete_shield_make(%s::oid)", [oid])
    return entry


def app(name: str) -> TableName:
    return TableName("app", name)


def soft_delete(name: str, *keys: Any, actor: User | None = None) -> Deletion:
    """Records of `app.name` by their keys, each a value or a tuple, in one deletion."""
    given = [[str(v) for v in (key if isinstance(key, tuple) else (key,))] for key in keys]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT custody.softdelete_rows(%s::regclass::oid, %s::jsonb, '', 'console')",
            [f'app."{name}"', json.dumps(given)],
        )
        return Deletion.objects.get(pk=cursor.fetchone()[0])
