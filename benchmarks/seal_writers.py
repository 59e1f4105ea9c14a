"""Writers of benchmarks/seal.py: pgbench, 8 clients, with the sealer beside them or without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.audit_single import CLIENTS
from benchmarks.bench_server import ROOT, run

SUMMARISE, SEAL = 10, 30
"""Seconds of beat."""
WITHOUT, WITH = "writers, summaries only", "writers, summaries and seals"
SCRIPT = r"""\set key random(1, {rows})
UPDATE {table} SET customer = customer + 1, amount = amount + 1 WHERE id = :key;
"""


@dataclass(frozen=True)
class Written:
    tps: float
    cpu: float
    """Of what beat did beside the writers: its process and its session of the server."""
    leaves: int
    """That were sealed meanwhile."""
    peak_mib: float
    """Of that process."""


def writers_round(  # noqa: PLR0917
    url: str,
    table: str,
    rows: int,
    seconds: int,
    programs: Path,
    environment: dict[str, str],
    turn: int,
) -> Iterator[tuple[str, Written]]:
    """Both cases, in turns the one and the other first."""
    for case in (WITHOUT, WITH) if turn % 2 == 0 else (WITH, WITHOUT):
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(f"VACUUM (ANALYZE) {table}".encode())
            session.execute("CHECKPOINT")
        command = [sys.executable, str(ROOT / "benchmarks" / "seal_cases.py"), "beat"]
        with subprocess.Popen(
            [*command, str(SUMMARISE), str(SEAL if case == WITH else 0)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as beat:
            assert beat.stdout
            beat.stdout.readline()
            tps = _pgbench(url, SCRIPT.format(rows=rows, table=table), seconds, programs)
            said, _ = beat.communicate("")
        if beat.returncode:
            raise SystemExit("What beat does failed: see above.")
        found = json.loads(said)
        yield case, Written(tps, found["cpu"], found["leaves"], found["peak_mib"])
        # What is left is nobody's work in the next case.
        run([sys.executable, ROOT / "manage.py", "audit_seal"], environment)


def _pgbench(url: str, script: str, seconds: int, programs: Path) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command: list[object] = [programs / "pgbench", "-n", "-M", "prepared", "-c", CLIENTS]
        command += ["-j", 2, "-T", seconds, "-f", file.name, "-d", url]
        said = run(command, {"PGOPTIONS": "-c synchronous_commit=off"})
    found = re.search(r"tps = ([\d.]+)", said)
    if found is None:
        raise SystemExit(f"pgbench did not tell how many transactions it made:\n{said}")
    return float(found[1])
