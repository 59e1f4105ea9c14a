"""Summaries under writers and SIGKILL: no statement twice, and none missing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from auditing.models import ChangeStatement, ChangeTransaction
from auditing.services.statement_summarise import statement_summarise
from tests.retention.conftest import database_url

from .histories import change, forget, made

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import django; django.setup()
from auditing.services import statement_summarise as module
module.TABLES, module.STATEMENTS = 2, 4
print("ready", flush=True)
while True:
    module.statement_summarise()
"""
Connect = Callable[[], psycopg.Connection[Any]]


@pytest.fixture(autouse=True)
def clean(transactional_db: None) -> Iterator[None]:
    # Goes past the numbers that the tests before have used.
    statement_summarise()
    yield
    forget()


def child() -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


class Application(threading.Thread):
    """Writes into all histories, in transactions of every length, some of them rolled back."""

    def __init__(self, session: psycopg.Connection[Any], layouts: list[Any], seed: int) -> None:
        super().__init__()
        self.session, self.layouts, self.random = session, layouts, random.Random(seed)
        self.ending = threading.Event()
        self.written: dict[int, int] = {}

    def run(self) -> None:
        while not self.ending.is_set():
            kept = self.random.random() < 0.8
            written: dict[int, int] = {}
            with self.session.transaction(force_rollback=not kept):
                for _ in range(self.random.randint(1, 4)):
                    rows = self.random.randint(1, 5)
                    layout = self.random.choice(self.layouts)
                    written[change(self.session, layout, "I", *range(rows))] = rows
                    time.sleep(self.random.random() * 0.02)
            if kept:
                self.written |= written


def test_killed_at_any_instant_every_statement_has_its_line_once(other_session: Connect) -> None:
    layouts = [made(f"t{number}") for number in range(5)]
    writers = [Application(other_session(), layouts, seed) for seed in range(3)]
    chance = random.Random(4)
    for writer in writers:
        writer.start()
    try:
        first = child()
        for _ in range(4):
            # Two at once, of which now the one and now the other is killed.
            second = child()
            time.sleep(chance.random() * 0.2)
            kill(first)
            first = second
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE query LIKE '%auditing_summaryposition%' AND pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
        kill(first)
    finally:
        for writer in writers:
            writer.ending.set()
        for writer in writers:
            writer.join()
    statement_summarise()
    written = {line: rows for writer in writers for line, rows in writer.written.items()}
    assert dict(ChangeStatement.objects.values_list("id", "rows")) == written
    assert len(written) > 20
    transactions = ChangeTransaction.objects.all()
    assert sum(each.rows for each in transactions) == sum(written.values())
    assert sum(each.statements for each in transactions) == len(written)
