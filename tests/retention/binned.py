"""A shop with soft delete: users with orders and lines that go along, addresses that stay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from retention.models import Deletion, DeletionTable, RetentionPolicy

from .purging import make_policy
from .softdeleting import enable

TABLES = ("users", "orders", "lines")
"""Parents first."""
YEAR = 24 * 365


def make_shop(execute: Callable[..., Any], *, capture: bool = False, grace_days: int = 30) -> None:
    """Users 1 to 12, of whom 1 to 6 are past their term; each has 2 orders of 3 lines each."""
    execute(
        "CREATE TABLE app.users (id int PRIMARY KEY, created_at timestamptz NOT NULL, email text)"
    )
    execute(
        "CREATE TABLE app.orders (id int PRIMARY KEY, user_id int NOT NULL REFERENCES app.users"
        " ON DELETE CASCADE, note text)"
    )
    execute(
        "CREATE TABLE app.lines (id int PRIMARY KEY, order_id int NOT NULL REFERENCES app.orders"
        " ON DELETE CASCADE, note text)"
    )
    execute(
        "CREATE TABLE app.addresses (id int PRIMARY KEY, user_id int REFERENCES app.users"
        " ON DELETE SET NULL, street text)"
    )
    execute(
        "INSERT INTO app.users SELECT n, CASE WHEN n <= 6 THEN now() - interval '2 years'"
        " ELSE now() END, 'u' || n || '@example.org' FROM generate_series(1, 12) n"
    )
    execute("INSERT INTO app.orders SELECT n, (n + 1) / 2, 'o' || n FROM generate_series(1, 24) n")
    execute("INSERT INTO app.lines SELECT n, (n + 2) / 3, 'l' || n FROM generate_series(1, 72) n")
    execute("INSERT INTO app.addresses SELECT n, n, 's' || n FROM generate_series(1, 12) n")
    for statement in ("orders (user_id)", "lines (order_id)", "addresses (user_id)"):
        execute(f"CREATE INDEX ON app.{statement}")
    for name in TABLES:
        enable(name, capture=capture, grace_days=grace_days)


def soft_policy(table: str = "users", **terms: Any) -> RetentionPolicy:
    return make_policy(table, **{"keep_hours": YEAR, "soft_delete": True, **terms})


def ever_policy(table: str = "users", **terms: Any) -> RetentionPolicy:
    """Of the specification's own: `{ table: users, retentionDays: -1, softDelete: true }`."""
    return soft_policy(table, **{"keep_hours": None, "age_column": "", **terms})


def grace_over(*deletions: int) -> None:
    """Of these, or of all."""
    found = Deletion.objects.filter(pk__in=deletions) if deletions else Deletion.objects.all()
    found.update(purge_after=timezone.now() - timedelta(minutes=1))


def ids(table: str, where: str = "true") -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM app.{table} WHERE {where} ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def active(table: str) -> list[int]:
    return ids(table, "deleted_at IS NULL")


def binned(table: str) -> list[int]:
    return ids(table, "deletion_id IS NOT NULL")


def assert_counts_true(*tables: str) -> None:
    """Every row is active or in the bin, marked whole or not at all; and counts are what is so."""
    for table in tables or TABLES:
        marks = "num_nulls(deleted_at, deleted_by, deletion_id)"
        assert ids(table, f"{marks} NOT IN (0, 3)") == []
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT deletion_id, count(*) FROM app.{table} WHERE deletion_id IS NOT NULL"
                " GROUP BY 1"
            )
            there = dict(cursor.fetchall())
        counted = DeletionTable.objects.filter(schema_name="app", table_name=table)
        told = {each.deletion_id: each.rows for each in counted if each.rows}
        assert told == there, table
        assert all(
            each.deletion.state != "purged"
            for each in counted.select_related("deletion")
            if each.rows
        )
