"""A log that was dumped and restored elsewhere verifies there, and goes on without a collision."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from auditing.models import (
    AuditEvent,
    ChangeContext,
    ChangeStatement,
    ChangeTransaction,
    SealBlock,
    TrackedTable,
)
from auditing.selectors.images import shape_of
from auditing.selectors.versions import versions_of
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_watch import audit_watch
from auditing.services.baseline import baseline_run
from auditing.services.cluster_adopt import SPAN, cluster_adopt
from auditing.services.track import table_track
from config.embedded.programs import postgres_programs
from tests.own_server import own_server

from .sealed_model import checked
from .test_verify_clean import verified

pytestmark = pytest.mark.superuser
ELSEWHERE = {
    "track_commit_timestamp": "on",
    "TimeZone": "Asia/Kolkata",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
}


def ask(query: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def restored(*more: str) -> Iterator[psycopg.Connection[Any]]:
    """What is in the server under way, in one of another version; a session of the application."""
    place = connection.settings_dict
    url = f"postgresql://{place['USER']}@/{place['NAME']}?host={place['HOST']}&port={place['PORT']}"
    # As people do it: with the programs of the newer version.
    programs = postgres_programs(18)
    done = subprocess.run([programs / "pg_dump", *more, url], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    other = 16 if os.environ.get("CUSTODY_TEST_POSTGRES", "18") != "16" else 18
    with own_server(version=other, settings=ELSEWHERE, empty=True) as made:
        loaded = subprocess.run(
            [programs / "psql", "-X", "-q", "-d", made.url],
            input=done.stdout,
            capture_output=True,
            check=False,
        )
        wrong = [line for line in loaded.stderr.decode().splitlines() if "ERROR" in line]
        # A setting that an older version does not know.
        assert [line for line in wrong if "transaction_timeout" not in line] == []
        with psycopg.connect(made.url, autocommit=True) as session:
            yield session


@pytest.fixture
def shop(transactional_db: None) -> Iterator[User]:
    """Two audited tables: one whose columns have had a gap, and one with partitions."""
    with own_server():
        person = User.objects.create(username="ada")
        ask("CREATE SCHEMA app")
        ask(
            "CREATE TABLE app.orders (id int PRIMARY KEY, gone text, total numeric(10,2),"
            " at timestamptz DEFAULT now(), took interval, note text)"
        )
        ask(
            "INSERT INTO app.orders SELECT n, 'x', n / 3.0, now(), '1 day 2 hours', 'a'"
            " FROM generate_series(1, 50) n"
        )
        ask(
            "CREATE TABLE app.lines (id int, year int, primary key (id, year))"
            " PARTITION BY LIST (year)"
        )
        ask("CREATE TABLE app.lines_1 PARTITION OF app.lines FOR VALUES IN (2026)")
        tracked = table_track("app.orders", actor=person, reason="the law")
        table_track("app.lines", actor=person, reason="the law")
        baseline_run(tracked, requester=person)
        ask("UPDATE app.orders SET note = 'b' WHERE id <= 20")
        ask("INSERT INTO app.lines SELECT n, 2026 FROM generate_series(1, 30) n")
        audit_seal()
        yield person


def drop_a_column() -> None:
    ask("ALTER TABLE app.orders DROP COLUMN gone")
    audit_watch()
    ask("UPDATE app.orders SET note = 'c' WHERE id <= 10")


def whole() -> None:
    found = checked()
    assert (found.gone, found.unsealed) == ([], [])
    assert verified(User.objects.get(username="ada"))[1] == []


def numbers() -> dict[str, set[int]]:
    return {
        "history": {
            xid
            for name in ("app__orders", "app__lines")
            for (xid,) in ask(f"SELECT DISTINCT xid FROM history.{name}")
        },
        "transactions": set(ChangeTransaction.objects.values_list("xid", flat=True)),
    }


def story(key: str) -> list[tuple[str, dict[str, Any]]]:
    tracked = TrackedTable.objects.get(table_name="orders", untracked_at=None)
    page = versions_of(tracked, key)
    return [
        (v.operation, {c.name: v.values.get(c.attnum) for c in shape_of(tracked).columns})
        for v in page.versions
    ]


@pytest.mark.sql
def test_it_verifies_in_another_version_and_time_zone_and_goes_on(shop: User) -> None:
    drop_a_column()
    audit_seal()
    # Not sealed, and not even summarised, when the dump is taken.
    ask("UPDATE app.orders SET note = 'd' WHERE id <= 5")
    before, blocks, told = numbers(), SealBlock.objects.count(), story("3")
    with restored() as session:
        found = checked()
        assert found.gone == []
        assert len(found.unsealed) == 5
        # The application is faster than the console.
        with session.transaction():
            session.execute("SELECT custody.set_context(\"user\" => '7', reason => 'ticket 12')")
            session.execute("UPDATE app.orders SET note = 'e' WHERE id <= 4")
            session.execute("INSERT INTO app.lines_1 VALUES (100, 2026)")
        with session.transaction():
            session.execute("DELETE FROM app.orders WHERE id = 50")
            # Rows that are written again by the same transaction.
            session.execute("INSERT INTO app.orders (id, note) VALUES (50, 'again')")
        sealed = audit_seal()
        assert sealed.last > blocks
        whole()
        with session.transaction():
            session.execute("SELECT custody.set_context(\"user\" => '8')")
            session.execute("UPDATE app.orders SET note = 'f' WHERE id <= 2")
        audit_watch()
        session.execute("TRUNCATE app.lines")
        audit_seal()
        whole()

        now = numbers()
        assert now["transactions"] == now["history"] - images_only()
        assert before["history"] <= now["history"]
        added = now["history"] - before["history"]
        # Two from before the console came, two after it.
        assert len(added) == 4
        assert min(added) > SPAN > max(before["history"])
        lines = ChangeStatement.objects.filter(xid__in=added)
        assert sorted((each.operation, each.rows) for each in lines) == [
            ("D", 1),
            ("I", 1),
            ("I", 1),
            ("T", 31),
            ("U", 2),
            ("U", 4),
        ]
        said = ChangeContext.objects.filter(xid__in=added)
        assert [(c.user_id, c.reason) for c in said.order_by("id")] == [
            ("7", "ticket 12"),
            ("8", ""),
        ]
        assert set(lines.filter(operation="U").values_list("actor", flat=True)) == {
            "app:7",
            "app:8",
        }
        assert story("3")[1:] == told
        assert story("3")[0][0] == "U"
        events = AuditEvent.objects.filter(kind="sync", detail__restored=True)
        assert {str(event.tracked) for event in events} == {"app.orders", "app.lines"}
        assert all(event.xid > SPAN for event in events)
        # Of another cluster's transactions this one knows no end.
        times = dict(ChangeTransaction.objects.values_list("xid", "committed_at"))
        assert all(times[xid] is not None for xid in added)
        assert times[max(before["history"])] is None
        assert cluster_adopt().tables == ()


def images_only() -> set[int]:
    """Transactions that wrote nothing but images of a baseline."""
    return {
        xid
        for (xid,) in ask(
            "SELECT xid FROM history.app__orders GROUP BY xid HAVING bool_and(op = 'B')"
        )
    }


def test_twice_and_killed_in_between_the_numbers_rise(
    shop: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditing.services import cluster_adopt as module

    with restored() as session:
        session.execute("UPDATE app.orders SET note = 'once'")
        done = []

        def killed(*args: Any) -> None:
            if done:
                raise KeyboardInterrupt
            done.append(args)
            real(*args)

        real = module._table
        monkeypatch.setattr(module, "_table", killed)
        with pytest.raises(KeyboardInterrupt):
            audit_seal()
        monkeypatch.undo()
        session.execute("UPDATE app.orders SET note = 'between'")
        session.execute("INSERT INTO app.lines VALUES (200, 2026)")
        audit_seal()
        whole()
        first = numbers()["history"]
        assert max(first) > SPAN
        assert len([n for n in first if n > SPAN]) == 3
        with restored() as again:
            # Before anything is sealed there.
            assert verified(shop)[1] == []
            again.execute("UPDATE app.orders SET note = 'twice'")
            audit_seal()
            whole()
            assert max(numbers()["history"]) > 2 * SPAN
            assert first < numbers()["history"]


def test_what_cannot_go_on_is_told_and_the_rest_goes_on(shop: User) -> None:
    """Values that were kept aside under another number end a history; a table was left out."""
    drop_a_column()
    # Until the next look the new column's values are kept aside, under its number.
    ask("ALTER TABLE app.orders ADD COLUMN colour text")
    ask("UPDATE app.orders SET colour = 'red' WHERE id = 1")
    audit_seal()
    with restored("--exclude-table=app.lines*") as session:
        out = io.StringIO()
        with pytest.raises(CommandError, match="1 could not be adjusted"):
            call_command("audit_sync", json=True, stdout=out, stderr=io.StringIO())
        told = json.loads(out.getvalue())
        assert told["restored"] == []
        assert told["begun_anew"] == ["app.orders"]
        assert told["not_restored"] == ["app.lines"]
        assert cluster_adopt().complete
        old, new = TrackedTable.objects.filter(table_name="orders").order_by("id")
        assert (old.untracked_at is None, new.untracked_at is None) == (False, True)
        assert new.history != old.history
        assert "restored" in AuditEvent.objects.get(kind="untrack").reason
        session.execute("UPDATE app.orders SET colour = 'blue' WHERE id = 1")
        assert ask(f"SELECT max(xid) > {SPAN} FROM {new.history}") == [(True,)]
        audit_watch()
        audit_seal()
        found = checked()
        assert (found.gone, found.unsealed) == ([], [])
        assert verified(shop)[1] == ["app.lines was dropped, and its audit was not ended."]
