"""Single-row statements of the audit benchmark: pgbench, prepared, 8 clients."""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.audit_processor import processor_seconds
from benchmarks.audit_tables import SOURCE, Way

CLIENTS = 8
_NUMBERS = itertools.count()
SCRIPTS = {
    "INSERT": (
        r"\set number random(1, 1000000000)" + "\n"
        "INSERT INTO {table} VALUES (nextval('{table}_new'), 5, :number, 'name 5',"
        " 'mail5@example.org', 12.50, true, now(), '4d5f9bd0-6a4b-11ee-8c99-0242ac120002',"
        " '{note}');"
    ),
    "UPDATE": (
        r"\set key random({rows} / 2 + 1, {rows})" + "\n"
        "UPDATE {table} SET customer = customer + 1, amount = amount + 1 WHERE id = :key;"
    ),
    "DELETE": "DELETE FROM {table} WHERE id = (SELECT nextval('{table}_old'));",
}
"""Deletes take the keys of the lower half one after another, updates the upper half's."""


@dataclass(frozen=True)
class Measured:
    tps: float
    cpu: float
    """Microseconds of the server's processes a transaction; NaN where that cannot be read."""


def single_prepare(url: str, ways: Sequence[Way], rows: int) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for way in ways:
            session.execute(f"TRUNCATE {way.table}")
            session.execute(f"INSERT INTO {way.table} SELECT * FROM {SOURCE}")
            session.execute(f"CREATE SEQUENCE {way.table}_new START {rows + 1}")
            session.execute(f"CREATE SEQUENCE {way.table}_old")
        session.execute("VACUUM (ANALYZE)")


def single_round(
    url: str, ways: Sequence[Way], rows: int, transactions: int, *, pgbench: Path, turn: int
) -> Iterator[tuple[tuple[str, str], Measured]]:
    first = turn % len(ways)
    for operation in SCRIPTS:
        for way in [*ways[first:], *ways[:first]]:
            yield (
                (way.name, operation),
                _pgbench(url, rows, way, operation, transactions, program=pgbench),
            )


def _pgbench(
    url: str, rows: int, way: Way, operation: str, transactions: int, *, program: Path
) -> Measured:
    script = SCRIPTS[operation].format(table=way.table, rows=rows, note="x" * 40)
    each = transactions // CLIENTS
    with (
        tempfile.NamedTemporaryFile("w", suffix=".sql") as file,
        psycopg.connect(url, autocommit=True) as session,
    ):
        file.write(script)
        file.flush()
        command = [str(program), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2"]
        command += ["-t", str(each), "-f", file.name, "-d", url]
        # By their name they are told from sessions of the case before that are still ending.
        name = f"custody_bench_{os.getpid()}_{next(_NUMBERS)}"
        environment = {
            **os.environ,
            "PGAPPNAME": name,
            "PGOPTIONS": "-c synchronous_commit=off",
        }
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            used = _watch(session, process, name)
            said, errors = process.communicate()
    found = re.search(r"tps = ([\d.]+)", said)
    if process.returncode or found is None:
        raise SystemExit(f"pgbench failed on {way.name}, {operation}:\n{said}{errors}")
    return Measured(float(found[1]), used / (each * CLIENTS) * 1e6)


def _watch(
    session: psycopg.Connection[tuple[object, ...]], process: subprocess.Popen[str], name: str
) -> float:
    """Processor seconds of pgbench's sessions. They are gone when it has ended, so look often."""
    used: dict[int, float] = {}
    while process.poll() is None:
        found = session.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
            " AND backend_type = 'client backend'",
            [name],
        )
        used.update({int(str(pid)): 0.0 for (pid,) in found.fetchall() if pid not in used})
        for pid, last in used.items():
            if (now := processor_seconds(pid)) > last:
                used[pid] = now
        time.sleep(0.01)
    return sum(used.values()) or math.nan
