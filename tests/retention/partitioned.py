"""A governed table by years, and what a purge that drops whole partitions leaves of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from operations.models import Run
from retention.services.purge_start import purge_preview

from .purging import make_policy

Execute = Callable[..., list[tuple[Any, ...]]]
TABLE = "app.hits"
YEARS = range(2018, 2022)
"""All of them expired; the year of the fresh rows comes on top."""


def make_hits(
    execute: Execute, *, rows: int = 400, age: str = "timestamptz", more: str = ""
) -> None:
    """`app.hits`: so many rows in each of four expired years, and two fresh ones."""
    execute(
        f"CREATE TABLE app.hits (id bigint, created_at {age} NOT NULL, note text,"
        f" shout text GENERATED ALWAYS AS (note || '!') STORED, PRIMARY KEY (id, created_at))"
        f" PARTITION BY RANGE (created_at)"
    )
    execute(more) if more else None
    for year in (*YEARS, 2099):
        begin = "MINVALUE" if year == YEARS[0] else f"'{year}-01-01'"
        execute(
            f"CREATE TABLE app.hits_{year} PARTITION OF app.hits"
            f" FOR VALUES FROM ({begin}) TO ('{year + 1}-01-01')"
        )
        if year in YEARS:
            execute(
                f"INSERT INTO app.hits SELECT {year} * 10000 + n,"
                f" timestamp '{year}-01-02' + n * interval '1 hour',"
                f" CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'x\"y,' || n END"
                f" FROM generate_series(1, {rows}) n"
            )
    execute("INSERT INTO app.hits VALUES (1, '2099-05-05', 'fresh'), (2, '2099-05-06', NULL)")
    execute("ANALYZE app.hits")


def partitions(execute: Execute) -> list[str]:
    """The attached ones, by name, pending detachments left out."""
    return [
        name
        for (name,) in execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'app.hits'::regclass AND NOT inhdetachpending ORDER BY 1"
        )
    ]


def tables(execute: Execute) -> list[str]:
    """Every table of the application, by name."""
    return [
        name
        for (name,) in execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'app'::regnamespace"
            " AND relkind IN ('r', 'p') ORDER BY 1"
        )
    ]


def shape(execute: Execute) -> list[tuple[Any, ...]]:
    """Of every table of the application: its bound, constraints, triggers and indexes."""
    return execute(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid),"
        " (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname)"
        "  FROM pg_constraint k WHERE k.conrelid = c.oid),"
        " (SELECT array_agg(t.tgname ORDER BY t.tgname) FROM pg_trigger t"
        "  WHERE t.tgrelid = c.oid AND t.tgconstraint = 0),"
        " (SELECT array_agg(i.indexrelid::regclass::text || i.indisvalid ORDER BY i.indexrelid)"
        "  FROM pg_index i WHERE i.indrelid = c.oid)"
        " FROM pg_class c WHERE c.relnamespace = 'app'::regnamespace AND c.relkind IN ('r', 'p')"
        " ORDER BY 1"
    )


def dropped(run: Run) -> dict[str, int]:
    """Rows by partition."""
    return {each["table"]: each["rows"] for each in run.result["partitions_dropped"]}


def obstacles(**terms: Any) -> dict[str, str]:
    """Why which partition is not dropped whole, by the plan."""
    facts = purge_preview(policy=make_policy("hits", **terms)).facts
    return {each["table"]: each["why"] for each in facts["partitions_by_batches"]}


def whole(rows: Counter[str]) -> int:
    return sum(rows.values())
