"""The sample storefront: what is loaded, that it can be loaded again, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connection as django_connection
from psycopg import errors, sql

from operations.sample.exceptions import (
    SampleExists,
    SampleNotAllowed,
    SampleScaleInvalid,
)
from operations.sample.load import sample_load
from operations.sample.plan import TABLES

MOMENT = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)
SCALE = 0.02
PURGED = (
    "sessions",
    "audit_logs",
    "analytics_events",
    "notifications",
    "password_reset_tokens",
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def connection() -> Iterator[psycopg.Connection[Any]]:
    django_connection.ensure_connection()
    raw = django_connection.connection
    raw.execute("DROP SCHEMA IF EXISTS shop CASCADE")
    yield raw
    raw.execute("RESET ROLE")
    raw.execute("DROP SCHEMA IF EXISTS shop CASCADE")


def _one(connection: psycopg.Connection[Any], query: str, *values: object) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def _digest(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Of every table's rows, in no order."""
    return {
        table: _one(
            connection,
            f"SELECT md5(string_agg(row, '' ORDER BY row COLLATE \"C\"))"
            f" FROM (SELECT t::text AS row FROM shop.{table} AS t) AS rows",
        )
        for table in TABLES
    }


def _tables(connection: psycopg.Connection[Any]) -> set[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'shop'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    return {name for (name,) in rows}


def test_the_storefront_has_its_tables_and_says_how_many_rows_each_got(
    connection: psycopg.Connection[Any],
) -> None:
    seen: list[tuple[str, int, int]] = []

    loaded = sample_load(
        connection=connection,
        scale=SCALE,
        seed=7,
        on_progress=lambda *step: seen.append(step),
    )

    assert (loaded.schema, loaded.scale, loaded.seed) == ("shop", SCALE, 7)
    assert _tables(connection) == set(TABLES) == set(loaded.tables)
    for table, rows in loaded.tables.items():
        assert rows == _one(connection, f"SELECT count(*) FROM shop.{table}") > 0
        assert (
            _one(
                connection,
                "SELECT reltuples FROM pg_class WHERE oid = %s::regclass",
                f"shop.{table}",
            )
            == rows
        )
    assert max(loaded.tables, key=loaded.tables.__getitem__) == "analytics_events"
    assert {what for what, _, _ in seen} == {*TABLES, "keys and indexes"} - {"order_lines"}
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1][1] == seen[-1][2]


def test_every_retention_policy_finds_expired_rows_and_rows_to_keep(
    connection: psycopg.Connection[Any],
) -> None:
    sample_load(connection=connection, scale=SCALE)

    for table, column, term in (
        ("sessions", "created_at", "90 days"),
        ("audit_logs", "created_at", "730 days"),
        ("analytics_events", "created_at", "365 days"),
        ("notifications", "read_at", "30 days"),
        ("password_reset_tokens", "created_at", "24 hours"),
    ):
        expired = f"SELECT count(*) FROM shop.{table} WHERE {column} < now() - interval '{term}'"
        kept = f"SELECT count(*) FROM shop.{table} WHERE {column} >= now() - interval '{term}'"
        assert _one(connection, expired) >= 5, table
        assert _one(connection, kept) >= 5, table
        assert _one(connection, f"SELECT count(*) FROM shop.{table} WHERE {column} > now()") == 0
    assert _one(connection, "SELECT count(*) FROM shop.notifications WHERE read_at IS NULL") >= 5
    assert (
        _one(
            connection,
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
            " AND confrelid = ANY(%s::text[]::regclass[]) AND connamespace = 'shop'::regnamespace",
            [f"shop.{table}" for table in PURGED],
        )
        == 0
    )


def test_foreign_keys_of_every_kind_hold_and_some_have_no_index(
    connection: psycopg.Connection[Any],
) -> None:
    sample_load(connection=connection, scale=SCALE)

    rules = _one(
        connection,
        "SELECT string_agg(DISTINCT confdeltype::text, '') FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = 'shop'::regnamespace AND convalidated",
    )
    assert set(rules) == set("acdnr")
    unindexed = connection.execute(
        "SELECT conrelid::regclass::text, attname FROM pg_constraint"
        " JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]"
        " WHERE contype = 'f' AND connamespace = 'shop'::regnamespace AND conparentid = 0"
        " AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = conrelid AND indkey[0] = conkey[1])"
    ).fetchall()
    assert set(unindexed) == {
        ("shop.users", "referred_by"),
        ("shop.orders", "shipping_address_id"),
        ("shop.order_lines", "product_id"),
    }
    nobody_acts_before_signing_up = " UNION ALL ".join(
        f"SELECT 1 FROM shop.{table} AS t JOIN shop.users AS u ON u.id = t.{column}"
        " WHERE t.created_at < u.created_at"
        for table, column in (
            ("sessions", "user_id"),
            ("orders", "user_id"),
            ("analytics_events", "user_id"),
            ("audit_logs", "user_id"),
            ("messages", "recipient_id"),
            ("documents", "owner_id"),
        )
    )
    assert (
        _one(
            connection,
            f"SELECT count(*) FROM ({nobody_acts_before_signing_up}) AS early",
        )
        == 0
    )


def test_the_application_can_go_on_writing_and_deleting(
    connection: psycopg.Connection[Any],
) -> None:
    sample_load(connection=connection, scale=SCALE)
    nobody = "00000000-0000-0000-0000-000000000000"
    owned = "SELECT count(*) FROM shop.documents WHERE owner_id = %s"
    buyer = _one(connection, "SELECT user_id FROM shop.orders ORDER BY id LIMIT 1")
    owner = _one(
        connection,
        "SELECT owner_id FROM shop.documents AS d WHERE owner_id <> %s"
        " AND NOT EXISTS (SELECT FROM shop.orders WHERE user_id = owner_id) LIMIT 1",
        nobody,
    )
    documents = _one(connection, owned, owner) + _one(connection, owned, nobody)

    # Up to PostgreSQL 17 a RESTRICT says "foreign key", from 18 on "restrict".
    with pytest.raises((errors.ForeignKeyViolation, errors.RestrictViolation)):
        connection.execute("DELETE FROM shop.users WHERE id = %s", [buyer])
    connection.execute(
        "INSERT INTO shop.orders (user_id, subtotal, shipping_cost) VALUES (%s, 10, 2.5)", [buyer]
    )
    connection.execute(
        "INSERT INTO shop.analytics_events (name, path, created_at)"
        " SELECT 'login', '/', now() + interval '1 month' * ahead"
        " FROM generate_series(0, 3) AS ahead"
    )
    connection.execute("UPDATE shop.audit_logs SET user_id = NULL WHERE user_id = %s", [owner])
    connection.execute("DELETE FROM shop.users WHERE id = %s", [owner])

    assert float(_one(connection, "SELECT total FROM shop.orders ORDER BY id DESC LIMIT 1")) == 12.5
    for table in ("sessions", "addresses", "notification_preferences"):
        assert _one(connection, f"SELECT count(*) FROM shop.{table} WHERE user_id = %s", owner) == 0
    assert _one(connection, owned, nobody) == documents


def test_the_same_seed_and_moment_give_the_same_rows_and_another_seed_others(
    connection: psycopg.Connection[Any],
) -> None:
    sample_load(connection=connection, scale=SCALE, seed=3, moment=MOMENT)
    first = _digest(connection)
    connection.execute("SET search_path = shop, public")
    connection.execute("SET TimeZone = 'America/St_Johns'")
    sample_load(connection=connection, scale=SCALE, seed=3, moment=MOMENT, replace=True)
    path = _one(connection, "SELECT current_setting('search_path')")
    zone = _one(connection, "SELECT current_setting('TimeZone')")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET search_path = custody")
    again = _digest(connection)
    sample_load(connection=connection, scale=SCALE, seed=4, moment=MOMENT, replace=True)
    other = _digest(connection)

    assert again == first
    assert (path, zone) == ("shop, public", "America/St_Johns")
    assert all(other[table] != first[table] for table in TABLES)


def test_a_second_load_is_refused_unless_it_is_to_replace_the_first(
    connection: psycopg.Connection[Any],
) -> None:
    sample_load(connection=connection, scale=SCALE, seed=1, moment=MOMENT)
    before = _digest(connection)

    with pytest.raises(SampleExists, match="replaced"):
        sample_load(connection=connection, scale=SCALE, seed=2, moment=MOMENT)

    assert _digest(connection) == before


@pytest.mark.parametrize("replace", [False, True])
def test_somebody_elses_schema_of_that_name_is_left_alone(
    connection: psycopg.Connection[Any], replace: bool
) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("COMMENT ON SCHEMA shop IS 'our real shop'")
    connection.execute("CREATE TABLE shop.users AS SELECT 1 AS id")

    with pytest.raises(SampleExists, match="another database"):
        sample_load(connection=connection, scale=SCALE, replace=replace)

    assert _tables(connection) == {"users"}
    assert _one(connection, "SELECT id FROM shop.users") == 1


def test_a_replacement_that_breaks_off_leaves_the_storefront_as_it_was(
    connection: psycopg.Connection[Any],
) -> None:
    sample_load(connection=connection, scale=SCALE, seed=1, moment=MOMENT)
    before = _digest(connection)

    def stop(what: str, done: int, total: int) -> None:
        if what == "audit_logs":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_load(connection=connection, scale=SCALE, seed=2, replace=True, on_progress=stop)

    assert _digest(connection) == before


def test_a_role_that_may_not_create_schemas_is_told_what_it_needs(
    connection: psycopg.Connection[Any],
) -> None:
    # A superuser may do anything, so it becomes somebody less; an owner gives up its own right.
    superuser = _one(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    database = sql.Identifier(connection.info.dbname)
    if superuser:
        connection.execute("SET ROLE pg_monitor")
    else:
        connection.execute(
            sql.SQL("REVOKE CREATE ON DATABASE {} FROM CURRENT_USER").format(database)
        )
    try:
        with pytest.raises(SampleNotAllowed, match="GRANT CREATE ON DATABASE"):
            sample_load(connection=connection, scale=SCALE)
    finally:
        connection.execute("RESET ROLE")
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO CURRENT_USER").format(database))


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_is_no_size_is_refused(
    connection: psycopg.Connection[Any], scale: float
) -> None:
    with pytest.raises(SampleScaleInvalid, match="above 0"):
        sample_load(connection=connection, scale=scale)
