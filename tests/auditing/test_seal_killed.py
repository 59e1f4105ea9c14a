"""Sealers and the server are killed under writers: what committed is in exactly one leaf.

At thirty moments: sealers from outside, at any time; sealers by themselves, before and after a
statement or a flush to the disk; and the server, with all that it does.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from auditing.models import SealBlock, VerifyFinding
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_verify import audit_verify_start
from auditing.services.track import table_track
from config.embedded import EmbeddedPostgres
from operations.services.run_to_end import run_to_end
from retention.services.purge_start import purge_run
from tests.own_server import kill_server, own_server
from tests.retention.purging import make_events, make_policy, ran

from .sealers import Sealers
from .sealing import chain_holds, leaves_fit
from .test_capture_killed import take_images

pytestmark = pytest.mark.superuser
Execute = Callable[..., list[tuple[Any, ...]]]

OUTSIDE, INSIDE, SERVER = 11, 11, 8
"""How often is killed what."""
LATEST = 160
"""Statements and flushes after which a sealer kills itself, at most: before and after each."""
WRITERS = 3
TABLES = "".join(
    f"CREATE TABLE app.own_{n} (id bigint PRIMARY KEY, n integer NOT NULL, body text);"
    for n in range(WRITERS)
) + (
    "CREATE TABLE app.counts (id bigint PRIMARY KEY, n integer NOT NULL, body text);"
    "INSERT INTO app.counts SELECT g, 0, E'old\\t' FROM generate_series(1, 300) g;"
)
SOURCES = {
    "history.app__counts",
    "history.app__events",
    *(f"history.app__own_{n}" for n in range(WRITERS)),
    *(
        f"custody.auditing_{name}"
        for name in ("changecontext", "changestatement", "changetransaction", "auditevent")
    ),
    "custody.auditing_removal",
}


@pytest.fixture
def server(transactional_db: None) -> Iterator[EmbeddedPostgres]:
    with own_server() as made:
        yield made


@pytest.fixture
def sealers(server: EmbeddedPostgres) -> Iterator[Sealers]:
    made = Sealers(server.url)
    yield made
    made.end()


class Writer(threading.Thread):
    """Writes in transactions of every kind and length, over every server that there is."""

    def __init__(self, server: EmbeddedPostgres, number: int) -> None:
        super().__init__()
        self.server, self.random, self.number = server, random.Random(number), number
        self.next = 1000 * (number + 1)
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.is_set():
            try:
                with psycopg.connect(**self.server.conninfo(), autocommit=True) as session:
                    if self.number % 2:
                        # A crash takes away what nobody waited for.
                        session.execute("SET synchronous_commit = off")
                    while not self.ending.is_set():
                        self.transaction(session)
            except psycopg.OperationalError:
                self.ending.wait(0.02)

    def transaction(self, session: psycopg.Connection[Any]) -> None:
        kept = self.random.random() < 0.8
        with session.transaction(force_rollback=not kept):
            if self.random.random() < 0.5:
                session.execute(
                    "SELECT custody.set_context(%s, %s)", [f"u{self.number}", "said\\so"]
                )
            for _ in range(self.random.randint(1, 4)):
                self.write(session)
                self.ending.wait(self.random.choice([0, 0, 0.01, 0.1]))
        if session.closed:
            # A forced rollback passes over it.
            raise psycopg.OperationalError("the server went away")

    def write(self, session: psycopg.Connection[Any]) -> None:
        own, chance = f"app.own_{self.number}", self.random.random()
        mine = self.number + WRITERS * self.random.randint(1, 80)
        if chance < 0.3:
            self.next += 5
            series = f"generate_series({self.next}, {self.next + 4})"
            text = f"INSERT INTO {own} SELECT g, 0, 'new' FROM {series} g"
        elif chance < 0.4:
            text = f"DELETE FROM {own} WHERE id % 7 = 0"
        elif chance < 0.45:
            text = f"TRUNCATE {own}"
        elif chance < 0.55:
            text = f"UPDATE {own} SET id = -id WHERE id % 5 = 0"
        elif chance < 0.6:
            with session.transaction(force_rollback=True):
                session.execute(f"UPDATE app.counts SET n = -1 WHERE id = {mine}".encode())
            return
        else:
            text = f"UPDATE app.counts SET n = n + 1 WHERE id IN ({mine}, {mine + WRITERS})"
        session.execute(text.encode())


def test_killed_at_any_moment_every_row_is_in_one_leaf_of_one_chain(
    server: EmbeddedPostgres, sealers: Sealers, execute: Execute
) -> None:
    person = User.objects.create_user("ada")
    execute("CREATE SCHEMA app")
    execute(TABLES)
    make_events(execute, due=40, fresh=5)
    tables = ("counts", "events", *(f"own_{n}" for n in range(WRITERS)))
    audits = [table_track(f"app.{name}", actor=person, reason="test") for name in tables]
    execute("UPDATE app.events SET kind = 'seen'")
    audit_seal()
    writers = [Writer(server, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    # Over every server that there is.
    taking = threading.Thread(target=take_images, args=([audits[0]], person))
    chance = random.Random()
    try:
        kill_sealers(sealers, chance)
        ran(purge_run(policy=make_policy("events"), requester=person, reason="over"))
        taking.start()
        for _ in range(SERVER):
            pid = sealers.begin()
            time.sleep(chance.uniform(0.05, 0.3))
            kill_server(server)
            server.hold()
            sealers.kill(pid)
    finally:
        for writer in writers:
            writer.ending.set()
        for writer in writers:
            writer.join()
    taking.join()
    connection.close()
    audit_seal()
    leaves = leaves_fit()
    assert set(leaves) == SOURCES
    assert chain_holds() > 3
    run = run_to_end(run=audit_verify_start(requester=person))
    assert [each.text for each in VerifyFinding.objects.filter(run_id=run.pk)] == []
    assert run.result is not None, run.error
    assert run.result["checked"] >= leaves.total()


def one_more_block() -> None:
    before = SealBlock.objects.count()
    give_up = time.monotonic() + 60
    while SealBlock.objects.count() == before:
        assert time.monotonic() < give_up, "nobody seals"
        time.sleep(0.01)


def kill_sealers(sealers: Sealers, chance: random.Random) -> None:
    """Of two that share the work now the one and now the other."""
    ways = [*[True] * OUTSIDE, *[False] * INSIDE]
    chance.shuffle(ways)
    other = sealers.begin()
    for number, outside in enumerate(ways):
        pid = sealers.begin(0 if outside else chance.randint(1, LATEST))
        if outside:
            if number % 2:
                # However slow the machine is, they get on.
                one_more_block()
            time.sleep(chance.random() * 0.1)
            sealers.kill(other)
            other = pid
        else:
            sealers.wait(pid)
    sealers.kill(other)
