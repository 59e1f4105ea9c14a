"""Loads the sample storefront: an application's database to try everything on.

Two years of a shop's rows in the schema `shop`, of every kind the policies of retention, the audit
and the rights of people meet. All of it is one transaction: killed at any moment, nothing remains,
and what a replaced storefront held is still there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import tuple_row

from operations.sample.exceptions import (
    SampleExists,
    SampleNotAllowed,
    SampleScaleInvalid,
)
from operations.sample.plan import SCHEMA, SLICE_ROWS, TABLES, Fill, fill_plan
from operations.sample.settings import session_settings

_SQL = Path(__file__).parent / "sql"
_MARK = "The sample storefront made by sample_load: it may be replaced at any time."

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SampleLoaded:
    """What was loaded; `tables` gives the rows of each table."""

    schema: str
    scale: float
    seed: int
    tables: dict[str, int]
    seconds: float


def _silent(what: str, done: int, total: int) -> None:
    """Nobody wants to know."""


def sample_load(
    *,
    connection: psycopg.Connection[Any],
    scale: float = 1,
    seed: int = 1,
    replace: bool = False,
    moment: datetime | None = None,
    on_progress: Progress | None = None,
) -> SampleLoaded:
    """Makes the schema `shop` and fills it.

    Args:
        connection: of any role that may create a schema in its database; in a transaction or not.
        scale: above 0; 1 is about 200,000 rows, 50 ten million.
        seed: another one gives other people; the same seed, scale and moment the same rows.
        replace: drops the storefront that an earlier load made, with all that depends on it.
        moment: the newest row's time, with a time zone; now, when not given.
        on_progress: called with what is being made (a table's name or "keys and indexes"), and the
            rows made and to be made in all tables together, order lines not counted.

    Raises:
        SampleExists: `shop` is there, and it is not ours or `replace` was not asked for.
        SampleNotAllowed: the role may not create or drop the schema, or the database is not UTF-8
            or read only.
        SampleScaleInvalid: the scale is not a number above 0.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise SampleScaleInvalid(f"The scale is {scale}: give a number above 0, such as 1 or 0.1.")
    started = time.monotonic()
    report = on_progress or _silent
    # Not connection.cursor(): Django's binds values into the text and may bring other row types.
    cursor = psycopg.Cursor(connection, row_factory=tuple_row)
    try:
        with connection.transaction(), session_settings(cursor):
            _schema_make(cursor, replace=replace)
            tables = _schema_fill(
                cursor,
                scale=scale,
                seed=seed,
                moment=moment or datetime.now(UTC),
                report=report,
            )
    except errors.InsufficientPrivilege as error:
        raise SampleNotAllowed(
            f"The role {connection.info.user} may not make the schema {SCHEMA}: "
            f"{error.diag.message_primary}. Let it create schemas with GRANT CREATE ON DATABASE, "
            "or connect as the role that made the earlier storefront."
        ) from error
    except errors.ReadOnlySqlTransaction as error:
        raise SampleNotAllowed(
            "The database takes no writes: it is a standby or set to read only. Connect to the "
            "primary, or switch default_transaction_read_only off."
        ) from error
    finally:
        cursor.close()
    return SampleLoaded(
        schema=SCHEMA,
        scale=scale,
        seed=seed,
        tables=tables,
        seconds=round(time.monotonic() - started, 3),
    )


def _schema_make(cursor: psycopg.Cursor[Any], *, replace: bool) -> None:
    encoding = cursor.execute("SELECT current_setting('server_encoding')").fetchone()
    if encoding != ("UTF8",):
        raise SampleNotAllowed(
            "The database's encoding is not UTF8, and the storefront's people have names in many "
            "scripts: use a database made with ENCODING 'UTF8'."
        )
    # Of two loads at once the second waits here, and then finds the first one's schema.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('custody.sample_load', 0))")
    existing = cursor.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s",
        [SCHEMA],
    ).fetchone()
    schema = sql.Identifier(SCHEMA)
    if existing is not None:
        if existing != (_MARK,):
            raise SampleExists(
                f"A schema {SCHEMA} that sample_load did not make is there, and it is left alone: "
                "load the storefront into another database."
            )
        if not replace:
            raise SampleExists(
                f"The storefront is there already, in the schema {SCHEMA}: ask for it to be "
                "replaced if its rows, and your changes to them, may go."
            )
        cursor.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))
    cursor.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    cursor.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, sql.Literal(_MARK)))
    for name in ("schema", "helpers", "locales"):
        _script_run(cursor, name)


def _schema_fill(
    cursor: psycopg.Cursor[Any],
    *,
    scale: float,
    seed: int,
    moment: datetime,
    report: Progress,
) -> dict[str, int]:
    plan = fill_plan(scale=scale)
    rows = {fill.table: fill.rows for fill in plan}
    total = sum(rows.values())
    values = {
        "seed": seed,
        "moment": moment,
        "users": rows["users"],
        "products": rows["products"],
    }
    _partitions_make(cursor, moment=moment)
    cursor.execute((_SQL / "system_user.sql").read_bytes(), values)
    done = 0
    for fill in plan:
        done = _table_fill(cursor, fill=fill, values=values, done=done, total=total, report=report)
    report("keys and indexes", done, total)
    _script_run(cursor, "helpers_drop")
    _script_run(cursor, "keys")
    return {table: _rows_count(cursor, table) for table in sorted(TABLES)}


def _table_fill(
    cursor: psycopg.Cursor[Any],
    *,
    fill: Fill,
    values: dict[str, Any],
    done: int,
    total: int,
    report: Progress,
) -> int:
    statement = (_SQL / f"{fill.table}.sql").read_bytes()
    for first in range(1, fill.rows + 1, SLICE_ROWS):
        report(fill.table, done, total)
        last = min(first + SLICE_ROWS - 1, fill.rows)
        # Not prepared: a plan that does not know the seed hashes it again for every row.
        cursor.execute(
            statement,
            {**values, "rows": fill.rows, "first": first, "last": last},
            prepare=False,
        )
        done += last - first + 1
    # The next statements join this table: without statistics they would be planned for a few rows.
    cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(SCHEMA, fill.table)))
    return done


def _partitions_make(cursor: psycopg.Cursor[Any], *, moment: datetime) -> None:
    """One partition a month (UTC) of the events, from the first event to three months ahead."""
    months = cursor.execute(
        "SELECT to_char(month, 'YYYY_MM'), month, month + interval '1 month' FROM generate_series("
        " date_trunc('month', %(moment)s::timestamptz - interval '730 days'),"
        " date_trunc('month', %(moment)s::timestamptz) + interval '3 months',"
        " interval '1 month') AS month",
        {"moment": moment},
    ).fetchall()
    for name, start, end in months:
        cursor.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier(SCHEMA, f"analytics_events_{name}"),
                sql.Identifier(SCHEMA, "analytics_events"),
                sql.Literal(start),
                sql.Literal(end),
            )
        )


def _script_run(cursor: psycopg.Cursor[Any], name: str) -> None:
    cursor.execute((_SQL / f"{name}.sql").read_bytes())


def _rows_count(cursor: psycopg.Cursor[Any], table: str) -> int:
    row = cursor.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(SCHEMA, table))
    ).fetchone()
    return int(row[0]) if row else 0
