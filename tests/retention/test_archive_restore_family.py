"""Rows go back together with those that went along with them, parents first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from retention.models import Archive
from retention.services import archive_restore
from retention.services.restore_work import RestoreWork

from .archiving import OLD, archive_of, counts, reasons, restore

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def orders(execute: Execute) -> Archive:
    """Ten orders, of each the lines, of each line the notes; a payment that refers to an order."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz, buyer text)")
    execute(
        "CREATE TABLE app.lines (id int PRIMARY KEY, created_at timestamptz,"
        " order_id bigint REFERENCES app.orders)"
    )
    execute(
        "CREATE TABLE app.notes (created_at timestamptz, line_id int REFERENCES app.lines, t text)"
    )
    execute(
        f"INSERT INTO app.orders SELECT n, {OLD}, 'b' || mod(n, 3) FROM generate_series(1, 10) n"
    )
    execute(f"INSERT INTO app.lines SELECT n, {OLD}, 1 + mod(n, 10) FROM generate_series(1, 50) n")
    execute(f"INSERT INTO app.notes SELECT {OLD}, n, 'n' || n FROM generate_series(1, 50, 2) n")
    notes, lines, found = (archive_of(each) for each in ("notes", "lines", "orders"))
    Archive.objects.filter(pk__in=[notes.pk, lines.pk]).update(root=found)
    return found


def whole(execute: Execute, schema: str = "app") -> tuple[list[Any], list[Any], list[Any]]:
    return tuple(
        [row[0] for row in execute(f"SELECT {column} FROM {schema}.{table} ORDER BY 1")]
        for table, column in (("orders", "id"), ("lines", "id"), ("notes", "line_id"))
    )  # type: ignore[return-value]


BUYER = "buyer = 'b1'"
LINES = [n for n in range(1, 51) if 1 + n % 10 in (1, 4, 7, 10)]
BELONGING = ([1, 4, 7, 10], LINES, [n for n in LINES if n % 2])
"""What has to do with the orders of b1."""


def test_what_belongs_to_the_chosen_rows_goes_back_and_nothing_else(
    execute: Execute, orders: Archive
) -> None:
    total = sum(map(len, BELONGING))
    code, document = restore(orders, where=BUYER, with_dependents=True, dry_run=True)
    assert (code, counts(document), whole(execute)) == (0, (total, 0, 0), ([], [], []))
    code, document = restore(orders, where=BUYER, with_dependents=True)
    assert (code, counts(document)) == (0, (total, 0, 0))
    assert whole(execute) == BELONGING
    assert counts(restore(orders, where=BUYER, with_dependents=True)[1]) == (0, total, 0)


def test_all_of_it_goes_back_and_alone_only_the_rows_themselves(
    execute: Execute, orders: Archive
) -> None:
    assert counts(restore(orders, where=BUYER)[1]) == (4, 0, 0)
    assert whole(execute) == (BELONGING[0], [], [])
    assert counts(restore(orders, with_dependents=True)[1]) == (81, 4, 0)
    assert whole(execute) == (list(range(1, 11)), list(range(1, 51)), list(range(1, 51, 2)))


def test_into_another_schema_with_all_that_belongs(execute: Execute, orders: Archive) -> None:
    options = {"where": BUYER, "with_dependents": True, "into_schema": "rescue"}
    total = sum(map(len, BELONGING))
    assert counts(restore(orders, **options, dry_run=True)[1]) == (total, 0, 0)
    try:
        assert counts(restore(orders, **options)[1]) == (total, 0, 0)
        assert whole(execute, "rescue") == BELONGING
        assert whole(execute) == ([], [], [])
    finally:
        execute("DROP SCHEMA IF EXISTS rescue CASCADE")


def test_a_conflict_of_a_dependent_is_told_with_its_archive(
    execute: Execute, orders: Archive
) -> None:
    execute("INSERT INTO app.lines (id) VALUES (3)")
    code, document = restore(orders, where=BUYER, with_dependents=True)
    assert (code, counts(document)[2]) == (3, 1)
    assert reasons(document) == {"3": "is there already and differs in: created_at, order_id"}
    assert document["conflicts"][0]["archive"].startswith("lines-")


def test_without_a_foreign_key_it_cannot_be_told_what_belongs(
    execute: Execute, orders: Archive
) -> None:
    execute("ALTER TABLE app.notes DROP CONSTRAINT notes_line_id_fkey")
    code, document = restore(orders, where=BUYER, with_dependents=True)
    assert (code, "No foreign key tells any more" in document["error"]["message"]) == (3, True)
    assert restore(orders, with_dependents=True)[0] == 0


def test_a_lost_session_gathers_again_what_belongs(
    execute: Execute,
    orders: Archive,
    other_session: Callable[[], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = RestoreWork.lock_against_ddl
    calls = 0

    def cut(work: RestoreWork) -> None:
        nonlocal calls
        calls += 1
        lock(work)
        if calls in (2, 4):
            pid = execute("SELECT pg_backend_pid()")[0][0]
            other_session().execute("SELECT pg_terminate_backend(%s)", [pid])

    monkeypatch.setattr(RestoreWork, "lock_against_ddl", cut)
    monkeypatch.setattr(archive_restore, "_ROWS", (5, 1, 5))
    monkeypatch.setattr(archive_restore, "AGAIN_SECONDS", 0)
    code, document = restore(orders, where=BUYER, with_dependents=True)
    assert (code, counts(document)[1:]) == (0, (0, 0))
    assert calls > 5
    assert whole(execute) == BELONGING
