#!/usr/bin/env python
"""How long it takes to find a record on the storefront, and how much of it was looked at by then.

The storefront is that of `manage.py demo --scale N`: seven of its tables audited with an image of
every row, two others purged into archives. Each case is one text, of which nothing is known before;
its floor is what one SELECT by primary key takes through the same connection.

    python benchmarks/find.py                  scale 10, some 2,000,000 rows; its own server
    python benchmarks/find.py --scale 1
    python benchmarks/find.py --var FOLDER     a demo that is there already (CUSTODY_VAR)
    python benchmarks/find.py --json           a list of {case, seconds, worst, hits, missed, ratio}
    python benchmarks/find.py --seconds 60     until everything was looked at

Every round asks all cases once, in one process, the first round not counted; seconds are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5

_INSIDE = """
import json, os, time
from django.db import connection
from operations.services.record_find import record_find
cursor = connection.cursor()
cursor.execute("SELECT id::text, email, name FROM shop.users ORDER BY created_at"
               " OFFSET 4000 LIMIT 1")
user, email, name = cursor.fetchone()
cursor.execute("SELECT max(id) - 500 FROM shop.orders")
order = str(cursor.fetchone()[0])
cases = {
    "nowhere": "nobody@nowhere.example", "a mail address": email, "a name": name,
    "a name that is nowhere": "Zebulon Quux", "an order's number": order, "a day": "2026-03-14",
    "an id": user, "a word of a note": "unopened",
}
seconds = float(os.environ["BENCH_SECONDS"])
told = {case: [] for case in cases}
floor = []
for turn in range(int(os.environ["BENCH_ROUNDS"]) + 1):
    began = time.perf_counter()
    cursor.execute("SELECT * FROM shop.users WHERE id = %s", [user])
    cursor.fetchone()
    floor.append(time.perf_counter() - began)
    for case, text in cases.items():
        began = time.perf_counter()
        found = record_find(text, seconds=seconds)
        took = time.perf_counter() - began
        if turn:
            told[case].append((took, len(found.hits), [each.what for each in found.missed]))
print(json.dumps({"floor": sorted(floor)[len(floor) // 2], "told": told}))
"""


def main() -> int:
    options = _options()
    if options.var:
        lines = _measured(Path(options.var), options)
    else:
        with tempfile.TemporaryDirectory(prefix="custody-find-") as folder:
            var = Path(folder) / "var"
            _manage(var, "demo", "--scale", str(options.scale), "--no-serve")
            lines = _measured(var, options)
    if options.json:
        print(json.dumps(lines, indent=2))
    else:
        for line in lines:
            print(
                f"{line['case']:<24} {line['seconds']:6.2f} s, worst {line['worst']:6.2f}"
                f"  {line['hits']:3} hits  not looked at: {len(line['missed'])}"
            )
    return 0


def _measured(var: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    more = {"BENCH_SECONDS": str(options.seconds), "BENCH_ROUNDS": str(options.rounds)}
    out = _manage(var, "shell", "-v", "0", text=_INSIDE, **more)
    found = json.loads(out.strip().splitlines()[-1])
    lines = []
    for case, rounds in found["told"].items():
        seconds = statistics.median(took for took, _, _ in rounds)
        lines.append(
            {
                "case": case,
                "seconds": round(seconds, 3),
                "worst": round(max(took for took, _, _ in rounds), 3),
                "hits": rounds[-1][1],
                "missed": min((missed for _, _, missed in rounds), key=len),
                "ratio": round(seconds / found["floor"], 1),
                "peak_mib": None,
            }
        )
    return lines


def _manage(var: Path, *arguments: str, text: str = "", **more: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        input=text,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "CUSTODY_VAR": str(var), **more},
    )
    return done.stdout


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=1.7)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--var", default="")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
