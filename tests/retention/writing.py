"""The application, writing while a purge runs."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from .purging import archived, files, known_files

Execute = Callable[..., list[tuple[Any, ...]]]
LONGEST = 2.0
"""Seconds that the application may wait for us (DESIGN, rule 3)."""
DUE = 2000
EVERYTHING = 100_000
"""Pages: the whole table is one batch, so every row that is due is locked at once."""
PAUSE = 0.002
"""Seconds between two statements: some hundreds a second are enough to meet every lock."""


@dataclass
class Writer:
    """Updates and inserts all the time, and keeps what it was told was done."""

    session: psycopg.Connection
    seed: int = 1
    kinds: dict[int, str] = field(default_factory=dict)
    """By id: what it wrote last."""
    fresh: set[int] = field(default_factory=set)
    """Rows that it inserted, or made young again."""
    longest: float = 0.0
    errors: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def stop(self) -> None:
        self.ended.set()
        if self.thread is not None:
            self.thread.join()

    def run(self) -> None:
        dice = random.Random(self.seed)
        number = 0
        self.session.execute(f"SET lock_timeout = '{LONGEST}s'")
        while not self.ended.is_set():
            number += 1
            try:
                self._write(dice, number)
            except psycopg.Error as error:
                self.errors.append(str(error))
            time.sleep(PAUSE)

    def _write(self, dice: random.Random, number: int) -> None:
        kind = f"written {self.seed}.{number}"
        row = dice.randrange(1, DUE + 1)
        began = time.monotonic()
        if number % 3 == 0:
            row = self.seed * 1_000_000 + number
            statement = "INSERT INTO app.events (id, kind, created_at) VALUES (%s, %s, now())"
            values: list[Any] = [row, kind]
        elif number % 3 == 1:
            statement = "UPDATE app.events SET kind = %s WHERE id = %s"
            values = [kind, row]
        else:
            statement = "UPDATE app.events SET kind = %s, created_at = now() WHERE id = %s"
            values = [kind, row]
        count = self.session.execute(statement, values).rowcount
        self.longest = max(self.longest, time.monotonic() - began)
        if count:
            self.kinds[row] = kind
            if number % 3 != 1:
                self.fresh.add(row)


def stop(writers: list[Writer]) -> None:
    for writer in writers:
        writer.stop()


def assert_nothing_lost(execute: Execute, writers: list[Writer]) -> None:
    """Every row is in one place, with what was written to it last; what is fresh is live."""
    alive = dict(execute("SELECT id, kind FROM app.events"))
    gone = archived(select="b.id, b.kind")
    assert set(gone.values()) <= {1}
    everywhere = alive.keys() | {row for row, _ in gone}
    assert len(alive) + len(gone) == len(everywhere)
    assert everywhere >= set(range(1, DUE + 1))
    places = dict(gone.keys()) | alive
    for writer in writers:
        assert writer.fresh <= set(alive)
    last: dict[int, set[str]] = {}
    for writer in writers:
        for row, kind in writer.kinds.items():
            last.setdefault(row, set()).add(kind)
    # Of two writers of one row, either may have been the last.
    assert all(places[row] in kinds for row, kinds in last.items())
    assert files() == known_files()


def assert_hardly_waited(writers: list[Writer]) -> None:
    for writer in writers:
        assert writer.errors == []
        assert writer.longest < LONGEST
        assert len(writer.kinds) > 10
