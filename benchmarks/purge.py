#!/usr/bin/env python
"""What a purge costs against the least that PostgreSQL needs: 1,000,000 of 2,000,000 events.

Floor without archive: one DELETE statement. Floor with archive: COPY to a zstd file, fsync, then
one DELETE, in one transaction. Both hold every row locked from beginning to end; the purge does
not, and counts, plans, reads its archive back and signs a certificate within the time shown.

The cases on events by months drop ten expired partitions. Their floor: DETACH, COPY to zstd, DROP.

    python benchmarks/purge.py                  the table, on an embedded server of its own
    python benchmarks/purge.py --json           a list of {case, seconds, ratio, peak_mib, ...}
    python benchmarks/purge.py --scale 0.1      a tenth of the rows
    python benchmarks/purge.py --memory         the purge's memory at 1 and at 10 million rows
    python benchmarks/purge.py --policies       40 policies over 40 tables, by 1, 2 and 4 workers

Every case runs in a process of its own on a fresh copy of the same database, after a checkpoint;
each round runs all cases once. Seconds are medians of the rounds; a ratio is the median of a
case's ratios to its floor in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import purge_partitions, purge_policies
from benchmarks.purge_cases import CASES, PARTITIONED
from benchmarks.purge_events import Databases, LongestLock

ROWS = 2_000_000
DELETE, COPY = "one DELETE", "COPY to zstd, then one DELETE"
FLOORS = {
    DELETE: DELETE,
    COPY: COPY,
    "purge with archive": COPY,
    purge_partitions.FLOOR: purge_partitions.FLOOR,
    purge_partitions.CASE: purge_partitions.FLOOR,
}
"""The floor of a case; one DELETE where none is named."""


@dataclass(frozen=True)
class Measured:
    seconds: float
    peak_mib: float
    longest_lock: float


def main() -> int:
    options = _options()
    cases = [name for name in CASES if not options.cases or name in options.cases]
    with _server(options) as (url, folder):
        databases = Databases(url)
        try:
            if options.memory:
                rows = _memory(databases, folder, options)
            elif options.policies:
                rows = _policies(databases, folder, options)
            else:
                rows = _rounds(databases, folder, options, cases)
        finally:
            databases.close()
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        _print(rows)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 2,000,000 events")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory", action="store_true", help="memory at scale 1 and 10 instead")
    parser.add_argument("--policies", action="store_true", help="a night of 40 policies instead")
    parser.add_argument("--cases", nargs="+", metavar="CASE", choices=CASES, help="only these")
    parser.add_argument(
        "--index", choices=("no", "yes", "both"), default="both", help="on the age column"
    )
    parser.add_argument(
        "--database-url", help="an existing server and a role that may create databases on it"
    )
    return parser.parse_args()


@contextmanager
def _server(options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="custody-bench-") as name:
        folder = Path(name)
        if options.database_url:
            yield options.database_url, folder
            return
        from config.embedded import EmbeddedPostgres

        server = EmbeddedPostgres(folder / "postgres")
        server.hold()
        try:
            yield server.url, folder
        finally:
            server.release()


def _rounds(
    databases: Databases, folder: Path, options: argparse.Namespace, cases: list[str]
) -> list[dict[str, object]]:
    rows = int(ROWS * options.scale)
    indexed = {"no": [False], "yes": [True], "both": [False, True]}[options.index]
    for index in indexed if set(cases) - set(PARTITIONED) else ():
        _say(f"loading {rows:,} events{_suffix(index)} ...")
        databases.template(
            _template(index), rows=rows, index=index, environment=_environment(folder)
        )
    planned = [(case, index) for index in indexed for case in cases if case not in PARTITIONED]
    if by_months := [(case, False) for case in cases if case in PARTITIONED]:
        planned += by_months
        _say(f"loading {rows:,} events by months ...")
        databases.template(
            "months",
            rows=rows,
            index=False,
            environment=_environment(folder),
            more=purge_partitions.MAKE_TABLE,
        )
    measured: dict[tuple[str, bool], list[Measured]] = defaultdict(list)
    for turn in range(options.rounds):
        for case, index in planned:
            template = "months" if case in PARTITIONED else _template(index)
            found = _run(databases, folder, case, template, rows // 2)
            measured[case, index].append(found)
            _say(f"round {turn + 1}: {case}{_suffix(index)}: {found.seconds:.2f} s")
    return [_row(key, measured) for key in measured]


def _policies(
    databases: Databases, folder: Path, options: argparse.Namespace
) -> list[dict[str, object]]:
    rows = int(purge_policies.ROWS * options.scale)
    _say(f"loading {purge_policies.TABLES} tables of {rows:,} events ...")
    databases.template(
        "policies",
        rows=rows,
        index=False,
        environment=_environment(folder),
        more=purge_policies.MAKE_TABLES,
    )
    expected = purge_policies.TABLES * (rows // 2)
    measured: dict[tuple[str, bool], list[Measured]] = defaultdict(list)
    for turn in range(options.rounds):
        for case in purge_policies.CASES:
            found = _run(databases, folder, case, "policies", expected, program="purge_policies.py")
            measured[case, False].append(found)
            _say(f"round {turn + 1}: {case}: {found.seconds:.2f} s")
    return [_row(key, measured, floor=purge_policies.FLOOR) for key in measured]


def _run(
    databases: Databases,
    folder: Path,
    case: str,
    template: str,
    expected: int,
    *,
    program: str = "purge_cases.py",
) -> Measured:
    with (
        databases.copy(template) as (database, url),
        tempfile.TemporaryDirectory(dir=folder) as files,
    ):
        environment = {**_environment(Path(files)), "DATABASE_URL": url}
        command = [sys.executable, ROOT / "benchmarks" / program, case, files]
        with LongestLock(databases.url, database) as lock:
            answer = subprocess.run(
                command, env=environment, check=False, capture_output=True, text=True
            )
        if answer.returncode:
            raise SystemExit(f"{case} failed:\n{answer.stderr}")
        found = json.loads(answer.stdout)
        if found["rows"] != expected:
            raise SystemExit(f"{case} removed {found['rows']:,} rows, not {expected:,}.")
        return Measured(found["seconds"], found["peak_mib"], lock.seconds)


def _memory(
    databases: Databases, folder: Path, options: argparse.Namespace
) -> list[dict[str, object]]:
    answer: list[dict[str, object]] = []
    for scale in (options.scale, 10 * options.scale):
        rows = int(ROWS * scale)
        template = f"scale_{scale:g}"
        _say(f"loading {rows:,} events ...")
        databases.template(template, rows=rows, index=False, environment=_environment(folder))
        for case in ("purge", "purge with archive"):
            found = _run(databases, folder, case, template, rows // 2)
            answer.append(
                {
                    "case": f"{case}, {rows // 2:,} rows",
                    "seconds": round(found.seconds, 3),
                    "ratio": None,
                    "peak_mib": round(found.peak_mib, 1),
                    "longest_lock": round(found.longest_lock, 3),
                }
            )
    return answer


def _row(
    key: tuple[str, bool], measured: dict[tuple[str, bool], list[Measured]], floor: str = ""
) -> dict[str, object]:
    case, index = key
    runs = measured[key]
    floors = measured.get((floor or FLOORS.get(case, DELETE), index), [])
    ratios = [a.seconds / b.seconds for a, b in zip(runs, floors, strict=False)]
    return {
        "case": f"{case}{_suffix(index)}",
        "seconds": round(statistics.median(x.seconds for x in runs), 3),
        "ratio": round(statistics.median(ratios), 2) if ratios else None,
        "peak_mib": round(max(x.peak_mib for x in runs), 1),
        "longest_lock": round(max(x.longest_lock for x in runs), 3),
    }


def _environment(var: Path) -> dict[str, str]:
    return {
        **os.environ,
        "CUSTODY_VAR": str(var),
        "CUSTODY_ENV_FILE": str(var / "none"),
        "CELERY_BROKER_URL": "memory://",
    }


def _template(index: bool) -> str:
    return "indexed" if index else "plain"


def _suffix(index: bool) -> str:
    return ", index on the age" if index else ""


def _print(rows: list[dict[str, object]]) -> None:
    print("| case | seconds | ratio to its floor | peak memory, MiB | longest lock, s |")
    print("|---|---:|---:|---:|---:|")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(
            f"| {row['case']} | {row['seconds']:.2f} | {ratio} | {row['peak_mib']:.0f} |"
            f" {row['longest_lock']:.2f} |"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
