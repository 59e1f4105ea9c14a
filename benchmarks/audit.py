#!/usr/bin/env python
"""What auditing costs against writing the same images plainly, and against the other ways.

Floor: one `INSERT ... SELECT` of the rows into a table with the audited table's columns and a btree
on its key. Second floor, the history's shape: the same rows with the history's own columns (number,
statement, transaction, time, role ...), the number from a sequence, and a btree on (key, number).
The ratio of a way in bulk is its overhead, the statement with audit less the statement without,
divided by the floor; ratio_own is the same against the second floor.

    python benchmarks/audit.py                  200,000 rows of 10 columns, on a server of its own
    python benchmarks/audit.py --json           a list of {case, seconds, ratio, peak_mib, ...}
    python benchmarks/audit.py --scale 0.1      a tenth of the rows
    python benchmarks/audit.py --parts bulk     only the bulk statements (single, orm)

Ratios are of processor seconds, which others' work on the machine hardly moves, where Linux tells
them for the server's processes, else of seconds. Every round runs all cases once, in a different
order; seconds are medians, a ratio is the median of the ratios within a round.

For single-row statements, transactions a second of pgbench with 8 clients, prepared, commits
nearly free; the ratio is that of the transactions a second to no audit's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg

from benchmarks import audit_report
from benchmarks.audit_bulk import bulk_round, copy_data, floor_round
from benchmarks.audit_peers import CASES as ORM_CASES
from benchmarks.audit_single import single_prepare, single_round
from benchmarks.audit_tables import NONE, OURS, WAYS, Way, tables_make
from benchmarks.bench_server import (
    bench_database,
    bench_environment,
    bench_server,
    manage,
    run,
    say,
)

ROWS, TRANSACTIONS = 200_000, 16_000
PARTS = ("bulk", "single", "orm")


def main() -> int:
    options = _options()
    rows = int(ROWS * options.scale)
    ways = [x for x in WAYS if x is NONE or not options.ways or x.name in options.ways]
    transactions = int(TRANSACTIONS * options.scale)
    if options.rounds * transactions > rows // 2:
        raise SystemExit("Too many rounds for the rows to be deleted one by one: use fewer.")
    with (
        bench_server(options.database_url) as (server, programs, folder),
        bench_database(server) as url,
    ):
        _install(url, ways, folder, rows)
        found: list[dict[str, object]] = []
        if "bulk" in options.parts:
            found += audit_report.bulk(_bulk(url, ways, rows, options.rounds))
        if "orm" in options.parts:
            found += audit_report.orm(*_orm(url, rows, options.rounds))
        if "single" in options.parts:
            measured = _single(
                url, ways, rows, transactions, options.rounds, pgbench=programs / "pgbench"
            )
            found += audit_report.single(measured)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        audit_report.show(found)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 200,000 rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument(
        "--ways", nargs="+", metavar="WAY", choices=[x.name for x in WAYS], help="only these"
    )
    parser.add_argument(
        "--database-url", help="an existing server and a role that may create databases on it"
    )
    return parser.parse_args()


def _install(url: str, ways: list[Way], folder: Path, rows: int) -> None:
    """The console, the tables, and every way of auditing on its table."""
    say(f"making {rows:,} rows and {len(WAYS)} tables ...")
    with psycopg.connect(url, autocommit=True) as session:
        tables_make(session, rows)
    environment = bench_environment(url, folder)
    track: list[object] = [
        "audit_track",
        f"public.{OURS.table}",
        "--reason",
        "benchmark",
        "--no-input",
    ]
    if OURS in ways:
        manage(["migrate", "--verbosity", "0"], environment)
        manage(track, environment)
    run([sys.executable, ROOT / "benchmarks" / "audit_peers.py", "install"], environment)


def _bulk(url: str, ways: list[Way], rows: int, rounds: int) -> audit_report.Bulk:
    measured: audit_report.Bulk = {}
    data = copy_data(url)
    captures = {way.name: way.captures for way in ways}
    for turn in range(rounds):
        for key, found in bulk_round(url, ways, rows, data, turn=turn):
            expected = rows if captures.get(key[0]) else 0
            if found.captured != expected:
                raise SystemExit(f"{key} kept {found.captured:,} versions, not {expected:,}.")
            measured.setdefault(key, []).append(found)
            say(f"round {turn + 1}: {', '.join(key)}: {found.seconds:.2f} s, {found.cpu:.2f} cpu")
    return measured


def _orm(url: str, rows: int, rounds: int) -> tuple[audit_report.Orm, audit_report.Bulk]:
    """A tenth of the rows: the ORM takes its time."""
    measured: audit_report.Orm = {}
    floors: audit_report.Bulk = {}
    environment = {**os.environ, "DATABASE_URL": url}
    program = ROOT / "benchmarks" / "audit_peers.py"
    for turn in range(rounds):
        for key, floor in floor_round(url, rows):
            floors.setdefault(key, []).append(floor)
        for case in ORM_CASES:
            answer = run([sys.executable, program, case, rows // 10], environment)
            found = json.loads(answer)
            measured.setdefault(case, []).append(found)
            say(f"round {turn + 1}: {case}: {found['seconds']:.2f} s, {found['cpu']:.2f} cpu")
    return measured, floors


def _single(
    url: str, ways: list[Way], rows: int, transactions: int, rounds: int, *, pgbench: Path
) -> audit_report.Single:
    measured: audit_report.Single = {}
    single_prepare(url, ways, rows)
    for turn in range(rounds):
        for key, found in single_round(url, ways, rows, transactions, pgbench=pgbench, turn=turn):
            measured.setdefault(key, []).append(found)
            say(f"round {turn + 1}: {', '.join(key)}: {found.tps:,.0f} a second, {found.cpu:.1f}")
    return measured


if __name__ == "__main__":
    sys.exit(main())
