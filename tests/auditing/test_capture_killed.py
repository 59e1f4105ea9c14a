"""The server is killed under writers: no committed change is without its version, none is besides.

Each change of a row counts its `n` up by one. So a record's versions are right when they count,
too, from the first to what the row is now, without a gap and without one too many.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection

from auditing.models import TrackedTable
from auditing.services.baseline import baseline_run
from auditing.services.track import table_track
from config.embedded import EmbeddedPostgres
from tests.own_server import kill_server, own_server

pytestmark = pytest.mark.superuser

ROWS = 20_000
"""There before the audit began: a baseline takes their images while all this happens."""
CONTESTED = 12
"""Rows that all writers change."""
TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.counts (id bigint PRIMARY KEY, n integer NOT NULL, body text);
CREATE TABLE app.parts (id bigint PRIMARY KEY, n integer NOT NULL, body text)
    PARTITION BY HASH (id);
CREATE TABLE app.parts_0 PARTITION OF app.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
"""
NAMES = ("app.counts", "app.parts")


@pytest.fixture
def server(transactional_db: None) -> Iterator[EmbeddedPostgres]:
    with own_server() as made:
        yield made


class Writer(threading.Thread):
    """Writes in transactions of every kind and length, over every server that there is."""

    def __init__(self, server: EmbeddedPostgres, number: int) -> None:
        super().__init__()
        self.server, self.random, self.number = server, random.Random(number), number
        self.next = (number + 1) * 1_000_000
        self.ending = threading.Event()
        self.acknowledged = self.possible = 0
        """Changes whose commit was confirmed; those of which nobody knows."""

    def run(self) -> None:
        while not self.ending.is_set():
            pending = 0
            try:
                with psycopg.connect(**self.server.conninfo(), autocommit=True) as session:
                    while not self.ending.is_set():
                        pending = 0
                        kept = self.random.random() < 0.8
                        try:
                            with session.transaction(force_rollback=not kept):
                                for _ in range(self.random.randint(1, 4)):
                                    pending += self.write(session)
                        except psycopg.errors.DeadlockDetected:
                            continue
                        if session.closed:
                            # A forced rollback passes over it.
                            raise psycopg.OperationalError("the server went away")
                        self.acknowledged += pending if kept else 0
                        self.ending.wait(0.002)
            except psycopg.OperationalError:
                self.possible += pending
                self.ending.wait(0.02)

    def write(self, session: psycopg.Connection[Any]) -> int:
        table, chance = self.random.choice(NAMES), self.random.random()
        mine = self.number + 10 * self.random.randint(1, ROWS // 10 - 1)
        if chance < 0.2:
            self.next += 1
            series = f"generate_series({self.next * 10}, {self.next * 10 + 4})"
            text = f"INSERT INTO {table} SELECT g, 0, 'new' FROM {series} g"
        elif chance < 0.3:
            ten = self.random.randint(self.next - 9, self.next)
            text = f"DELETE FROM {table} WHERE id BETWEEN {ten * 10} AND {ten * 10 + 9}"
        elif chance < 0.6:
            text = f"UPDATE {table} SET n = n + 1 WHERE id BETWEEN {mine} AND {mine + 3}"
        elif chance < 0.7:
            with session.transaction(force_rollback=True):
                session.execute(f"UPDATE {table} SET n = n + 100 WHERE id = {mine}".encode())
            return 0
        else:
            text = f"UPDATE {table} SET n = n + 1 WHERE id = {self.random.randint(1, CONTESTED)}"
        return session.execute(text.encode()).rowcount


def images(table: str) -> dict[int, tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, n, body FROM {table}")
        return {row[0]: row[1:] for row in cursor.fetchall()}


def versions(tracked: TrackedTable) -> dict[int, list[tuple[str, int, str]]]:
    """Of each record, in their order; of two images of the baseline that are the same, one."""
    found: dict[int, list[tuple[str, int, str]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT "1_id", op::text, "2_n", "3_body" FROM history.{tracked.history_name}'
            " ORDER BY seq, statement DESC"
        )
        for key, *version in cursor.fetchall():
            of_key = found.setdefault(key, [])
            if not (of_key and of_key[-1] == tuple(version) and version[0] == "B"):
                of_key.append(tuple(version))
    return found


def changes(tracked: TrackedTable, *, whole: bool) -> int:
    """Checks the versions against the table; returns how many changes they tell of."""
    live, told = images(str(tracked.table)), versions(tracked)
    for key, of_key in told.items():
        for (before, n, _), (op, then, _) in pairwise(of_key):
            assert (before, op) in {
                *((one, other) for one in "IBU" for other in "UD"),
                ("D", "I"),
            }, (key, of_key)
            assert then == (n + 1 if op == "U" else 0 if op == "I" else n), (key, of_key)
        op, *image = of_key[-1]
        assert live.get(key) == (None if op == "D" else tuple(image)), (key, of_key)
        assert of_key[0][:2] in (("I", 0), ("B", 0)), (key, of_key)
    untold = live.keys() - told.keys()
    # Rows of before the audit that nobody changed, and to which no baseline came yet.
    assert all(live[key][0] == 0 and key <= ROWS for key in untold)
    assert not (whole and untold)
    return sum(version[0] != "B" for of_key in told.values() for version in of_key)


def test_killed_at_any_moment_the_server_has_each_change_with_its_version(
    server: EmbeddedPostgres,
) -> None:
    person = User.objects.create_user("ada")
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        for name in NAMES:
            cursor.execute(
                f"INSERT INTO {name} SELECT g, 0, 'old' FROM generate_series(1, {ROWS}) g"
            )
    audits = [table_track(name, actor=person, reason="test") for name in NAMES]
    writers = [Writer(server, number) for number in range(4)]
    chance = random.Random()
    for writer in writers:
        writer.start()
    # It goes on by itself when the server is there again.
    taking = threading.Thread(target=take_images, args=(audits, person))
    taking.start()
    try:
        for _ in range(3):
            time.sleep(chance.uniform(0.2, 0.8))
            kill_server(server)
            server.hold()
    finally:
        for writer in writers:
            writer.ending.set()
        for writer in [*writers, taking]:
            writer.join()
    take_images(audits, person)
    told = sum(changes(tracked, whole=True) for tracked in audits)
    acknowledged = sum(writer.acknowledged for writer in writers)
    assert acknowledged <= told <= acknowledged + sum(writer.possible for writer in writers)
    assert acknowledged > 100


def take_images(audits: list[TrackedTable], person: User) -> None:
    """Over every server that there is."""
    left = list(audits)
    while left:
        try:
            baseline_run(left[-1], requester=person)
            left.pop()
        except (OperationalError, InterfaceError):
            time.sleep(0.05)
        finally:
            connection.close()
