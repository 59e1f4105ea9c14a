#!/usr/bin/env python
"""What sealing and verifying cost against reading the same rows, and what writers feel of it.

Floor of sealing: COPY of the same versions, in the order of their numbers and as the sealer prints
them, read by the same process and written to /dev/null. Of verifying: the same over all versions.
The ratio of a case is its processor seconds (this process, those it made, and the server's session)
to the floor's. Of writers the floor is `writers, summaries only`: pgbench with 8 clients that
update single rows of an audited table, commits nearly free, while summaries are made every 10
seconds; the other case seals every 30 seconds as well, and its ratio is that of the transactions a
second.

    python benchmarks/seal.py                  200,000 versions a case, on a server of its own
    python benchmarks/seal.py --json           a list of {case, seconds, ratio, peak_mib, ...}
    python benchmarks/seal.py --scale 0.2      a fifth of the rows (writers take as long as ever)
    python benchmarks/seal.py --parts seal     without verify, writers
    python benchmarks/seal.py --profile        where the time of the first round goes, on stderr

Every round runs all cases once, each in a new process, in another order; seconds, processor seconds
and ratios are medians. A profile slows what it looks at: its times are not for comparing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg

from benchmarks.audit_tables import OURS, SOURCE, tables_make
from benchmarks.bench_server import (
    bench_database,
    bench_environment,
    bench_server,
    manage,
    run,
    say,
)
from benchmarks.seal_writers import WITH, WITHOUT, Written, writers_round

ROWS, EACH = 200_000, 10
"""Versions of a case; statements of one row each are a tenth of it."""
PARTS = ("seal", "verify", "writers")
WIDE, NARROW = OURS.table, "bench_narrow"
WIDTHS = {WIDE: "10 columns", NARROW: "4 columns"}
_NARROW = f"CREATE TABLE {NARROW} (id bigint PRIMARY KEY, name text, amount numeric(12,2), at date)"
_FILL = {
    WIDE: f"INSERT INTO {WIDE} SELECT * FROM {SOURCE}",
    NARROW: f"INSERT INTO {NARROW} SELECT id, name, amount, placed_at FROM {SOURCE}",
}
_ONE_BY_ONE = """
CREATE PROCEDURE bench_one_by_one(number int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. number LOOP
        UPDATE {table} SET customer = customer + 1 WHERE id = n;
        COMMIT;
    END LOOP;
END
$$
"""
Lines = dict[str, list[dict[str, Any]]]


def main() -> int:
    options = _options()
    rows = int(ROWS * options.scale)
    with (
        bench_server(options.database_url) as (server, programs, folder),
        bench_database(server) as url,
    ):
        environment = bench_environment(url, folder)
        _install(url, rows, environment)
        found: list[dict[str, Any]] = []
        if {"seal", "verify"} & set(options.parts):
            found += _report(_measure(url, rows, environment, options))
        if "writers" in options.parts:
            _fill(url, WIDE)
            manage(["audit_seal"], environment)
            written: dict[str, list[Written]] = defaultdict(list)
            for turn in range(options.rounds):
                for case, line in writers_round(
                    url, WIDE, rows, options.seconds, programs, environment, turn
                ):
                    written[case].append(line)
                    say(f"round {turn + 1}: {case}: {line.tps:,.0f} a second, {line}")
            found += _writers(written, options.seconds)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        _show(found)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 200,000 versions a case")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=90, help="of a case of the writers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument(
        "--database-url", help="an existing server and a role that may create databases on it"
    )
    return parser.parse_args()


def _install(url: str, rows: int, environment: dict[str, str]) -> None:
    """The console, and the two tables under audit, empty."""
    say(f"making {rows:,} rows ...")
    with psycopg.connect(url, autocommit=True) as session:
        tables_make(session, rows)
        session.execute(_NARROW.encode())
        session.execute(_ONE_BY_ONE.format(table=WIDE).encode())
    manage(["migrate", "--verbosity", "0"], environment)
    for table in WIDTHS:
        track: list[object] = ["audit_track", f"public.{table}", "--reason", "benchmark"]
        manage([*track, "--no-input"], environment)
    manage(["audit_seal"], environment)


def _fill(url: str, table: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f"TRUNCATE {table}".encode())
        session.execute(_FILL[table].encode())


def _measure(
    url: str, rows: int, environment: dict[str, str], options: argparse.Namespace
) -> Lines:
    cases: list[tuple[str, Callable[[], None], list[object]]] = []
    if "seal" in options.parts:
        cases += [
            (f"sealing, {width}", lambda table=table: _fill(url, table), ["seal", table])  # type: ignore[misc]
            for table, width in WIDTHS.items()
        ]
        cases.append(
            (
                "sealing, statements of one row",
                lambda: _one_by_one(url, rows, environment),
                ["seal", WIDE],
            )
        )
    if "verify" in options.parts:
        cases += [
            (f"verifying, {text}", lambda: None, ["verify", processes])
            for processes, text in ((1, "one process"), (2, "two processes"))
        ]
    # What verifies in the first round must find something.
    for table in WIDTHS:
        _fill(url, table)
    manage(["audit_seal"], environment)
    measured: Lines = defaultdict(list)
    program = [sys.executable, ROOT / "benchmarks" / "seal_cases.py"]
    for turn in range(options.rounds):
        first = turn % len(cases)
        for case, prepare, command in [*cases[first:], *cases[:first]]:
            prepare()
            with psycopg.connect(url, autocommit=True) as session:
                session.execute("CHECKPOINT")
            profile = ["--profile"] if options.profile and not turn else []
            if profile:
                say(f"profile: {case}")
                found = _heard([*program, *command, *profile], environment)
            else:
                found = json.loads(run([*program, *command], environment))
            measured[case].append(found)
            say(f"round {turn + 1}: {case}: {found['versions'] / found['seconds']:,.0f} a second")
    return measured


def _heard(command: list[object], environment: dict[str, str]) -> dict[str, Any]:
    """As `run`; what it says on standard error is said here."""
    done = subprocess.run(
        [str(x) for x in command], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _one_by_one(url: str, rows: int, environment: dict[str, str]) -> None:
    _fill(url, WIDE)
    manage(["audit_seal"], environment)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET synchronous_commit = off")
        session.execute("CALL bench_one_by_one(%s)", [rows // EACH])


def _report(measured: Lines) -> list[dict[str, Any]]:
    found = []
    for case, runs in measured.items():
        versions = [x["versions"] for x in runs]
        found.append(
            {
                "case": case,
                "seconds": _median([x["seconds"] for x in runs], 3),
                "ratio": _median([x["cpu"] / x["floor_cpu"] for x in runs], 1),
                "peak_mib": round(max(x["peak_mib"] for x in runs), 1),
                "cpu_seconds": _median([x["cpu"] for x in runs], 3),
                "versions_per_second": _median([x["versions"] / x["seconds"] for x in runs], 0),
                "leaves_per_cpu_second": _median([x["leaves"] / x["cpu"] for x in runs], 0),
                "versions": statistics.median(versions),
                "floor_seconds": _median([x["floor_seconds"] for x in runs], 3),
            }
        )
    return sorted(found, key=lambda x: x["case"])


def _writers(written: dict[str, list[Written]], seconds: int) -> list[dict[str, Any]]:
    pairs = list(zip(written[WITH], written[WITHOUT], strict=True))
    return [
        {
            "case": case,
            "seconds": seconds,
            "ratio": _median([a.tps / b.tps for a, b in pairs], 3) if case == WITH else 1.0,
            "peak_mib": round(max(x.peak_mib for x in lines), 1),
            "cpu_seconds": _median([x.cpu for x in lines], 1),
            "versions_per_second": _median([x.tps for x in lines], 0),
            "leaves": statistics.median(x.leaves for x in lines),
        }
        for case, lines in written.items()
    ]


def _median(values: list[float], digits: int) -> float:
    return round(statistics.median(values), digits)


def _show(lines: list[dict[str, Any]]) -> None:
    """Tables in Markdown, as docs/performance.md has them."""
    columns = {
        "case": "case",
        "seconds": "seconds",
        "cpu_seconds": "processor, s",
        "ratio": "ratio to its floor",
        "versions_per_second": "versions a second",
        "leaves_per_cpu_second": "leaves a processor second",
        "peak_mib": "peak memory, MiB",
    }
    print("| " + " | ".join(columns.values()) + " |")
    print("|---" + "|---:" * (len(columns) - 1) + "|")
    for line in lines:
        cells = (line.get(name) for name in columns)
        print("| " + " | ".join(x if isinstance(x, str) else _number(x) for x in cells) + " |")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.10g}"


if __name__ == "__main__":
    sys.exit(main())
