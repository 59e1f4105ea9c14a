#!/usr/bin/env python
"""A record with 100,000 rows below it, deleted and restored, against two packages and the floor.

One customer with 10,000 orders, 80,000 lines of these and 9,999 payments, beside a second customer
with as many rows that stay. The floor is the plain `DELETE` with ON DELETE CASCADE, which keeps
nothing; ratios are to it. The packages are django-safedelete and django-soft-delete, their
`delete()` and their restore of the one customer, in a program of their own with its own settings.

Look-ups: prepared ones, one client, of orders of which 30 % are deleted with their customers,
through the view of active rows; their floor is the same look-up in a table without soft delete that
never had the deleted rows. Both the key's and a foreign key's index are tried.

Single: an order with 8 lines and a payment, one after another in a session that has done it before,
also by the application's own DELETE, captured.

    python benchmarks/softdelete.py                 the table, on an embedded server of its own
    python benchmarks/softdelete.py --json          a list of {case, seconds, ratio, peak_mib}
    python benchmarks/softdelete.py --scale 0.1     a tenth of the rows
    python benchmarks/softdelete.py --parts graph   the deletions only (or: lookups, single)
    python benchmarks/softdelete.py --peers PYTHON  the packages too, by the Python that has them:

    python3 -m venv peers && peers/bin/pip install "django>=5.2,<5.3" "psycopg[binary]>=3.2" \\
        django-safedelete==1.5.0 django-soft-delete==1.0.23

Each round runs all cases once, each after VACUUM and a checkpoint. Seconds are medians of the
rounds, of one look-up; a ratio is the median of the ratios to the floor of the same
round. peak_mib is that of the process that does it: of the program for a package, of the server's
own for a statement, shared buffers that it touched included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.bench_server import bench_database, bench_environment, bench_server, manage, say
from benchmarks.softdelete_graph import FLOOR, graph_install, graph_round
from benchmarks.softdelete_lookups import lookups_install, lookups_round
from benchmarks.softdelete_single import SINGLE_FLOOR, single_install, single_round

PARTS = ("graph", "lookups", "single")


@dataclass(frozen=True)
class Measured:
    case: str
    floor: str
    seconds: float
    peak_mib: float | None


def main() -> int:
    options = _options()
    lines: list[Measured] = []
    with bench_server(options.database_url) as (server, _, folder):
        for part in options.parts:
            with bench_database(server) as url:
                environment = bench_environment(url, folder)
                manage(["migrate", "--verbosity", "0"], environment)
                if part == "graph":
                    lines += _graph(url, environment, options)
                elif part == "lookups":
                    lines += _lookups(url, environment, options)
                else:
                    lines += _single(url, environment, options)
    found = _medians(lines)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        _show(found)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 100,000 rows of a graph")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of look-ups in each round")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with the packages")
    parser.add_argument(
        "--database-url", help="an existing server and a role that may create databases on it"
    )
    return parser.parse_args()


def _graph(
    url: str, environment: dict[str, str], options: argparse.Namespace
) -> Iterator[Measured]:
    orders = max(10, round(10_000 * options.scale))
    say(f"making graphs of {orders * 10:,} rows ...")
    graph_install(url, orders, environment)
    for turn in range(options.rounds):
        for case, seconds, peak in graph_round(url, orders, options.peers, turn):
            say(f"round {turn + 1}: {case}: {seconds:.3f} s, {peak:.0f} MiB")
            yield Measured(case, FLOOR, seconds, peak)


def _lookups(
    url: str, environment: dict[str, str], options: argparse.Namespace
) -> Iterator[Measured]:
    customers = 10 * max(10, round(2_000 * options.scale))
    say(f"making {customers * 10:,} orders for look-ups ...")
    lookups_install(url, customers, environment)
    for turn in range(options.rounds):
        for case, floor, seconds in lookups_round(url, customers, options.seconds):
            say(f"round {turn + 1}: {case}: {seconds * 1e6:.1f} microseconds")
            yield Measured(case, floor, seconds, None)


def _single(
    url: str, environment: dict[str, str], options: argparse.Namespace
) -> Iterator[Measured]:
    orders = max(110 * options.rounds, round(10_000 * options.scale))
    say(f"making {orders:,} orders to delete one by one ...")
    single_install(url, orders, environment)
    for turn in range(options.rounds):
        for case, seconds in single_round(url, orders, turn):
            say(f"round {turn + 1}: {case}: {seconds * 1e3:.2f} ms")
            yield Measured(case, SINGLE_FLOOR, seconds, None)


def _medians(lines: list[Measured]) -> list[dict[str, object]]:
    by_case: dict[str, list[Measured]] = defaultdict(list)
    for line in lines:
        by_case[line.case].append(line)
    found: list[dict[str, object]] = []
    for case, measured in by_case.items():
        floors = by_case[measured[0].floor]
        ratios = [a.seconds / b.seconds for a, b in zip(measured, floors, strict=True)]
        peaks = [each.peak_mib for each in measured if each.peak_mib is not None]
        found.append(
            {
                "case": case,
                "seconds": statistics.median(each.seconds for each in measured),
                "ratio": statistics.median(ratios),
                "peak_mib": statistics.median(peaks) if peaks else None,
            }
        )
    return found


def _show(found: list[dict[str, object]]) -> None:
    print("| case | seconds | ratio to its floor | peak memory, MiB |\n|---|---:|---:|---:|")
    for line in found:
        seconds, peak = line["seconds"], line["peak_mib"]
        assert isinstance(seconds, float)
        took = f"{seconds:.2f}" if seconds > 0.01 else f"{seconds:.7f}"
        memory = "" if peak is None else f"{peak:.0f}"
        print(f"| {line['case']} | {took} | {line['ratio']:.2f} | {memory} |")


if __name__ == "__main__":
    sys.exit(main())
