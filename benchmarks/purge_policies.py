"""40 policies over 40 tables, a night's work, by one and by several workers.

Floor: 40 DELETE statements one after another. `python benchmarks/purge.py --policies` runs all of
it; this file is one case, or one worker of a case, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg

from benchmarks.purge_cases import KEEP_DAYS, _cutoff, _django, peak_mib

TABLES = 40
ROWS = 50_000
"""In each table, half of them expired."""
FLOOR = "40 DELETE statements"

MAKE_TABLES = f"""
DO $$
BEGIN
  FOR t IN 1..{TABLES} LOOP
    EXECUTE format('CREATE TABLE bench.events_%s (LIKE bench.events INCLUDING ALL)', t);
    EXECUTE format('INSERT INTO bench.events_%s SELECT * FROM bench.events', t);
    EXECUTE format('ALTER TABLE bench.events_%s SET (autovacuum_enabled = false)', t);
  END LOOP;
END $$
"""


def deletes(_: Path) -> tuple[float, int]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
        began = time.perf_counter()
        rows = sum(
            session.execute(
                f"DELETE FROM bench.events_{number} WHERE created_at < %s", [_cutoff()]
            ).rowcount
            for number in range(1, TABLES + 1)
        )
        return time.perf_counter() - began, rows


def purges(folder: Path, *, workers: int, archive: bool) -> tuple[float, int]:
    """Asking for 40 runs as the night does, then as many workers as there are take them."""
    _django()
    from django.db.models import Sum

    from operations.models import Run
    from operations.services.actors import system_user
    from retention.services.purge_nightly import purge_nightly

    _make_policies(archive=archive)
    with ExitStack() as stack:
        processes = [stack.enter_context(_worker(folder)) for _ in range(workers)]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        began = time.perf_counter()
        asked = purge_nightly(requester=system_user("scheduler"))
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        codes = [process.wait() for process in processes]
        seconds = time.perf_counter() - began
    runs = Run.objects.filter(pk__in=asked, state="succeeded")
    if any(codes) or runs.count() != TABLES:
        raise SystemExit(f"{TABLES - runs.count()} purges did not succeed; workers said {codes}.")
    return seconds, int(runs.aggregate(rows=Sum("done"))["rows"])


def _make_policies(*, archive: bool) -> None:
    from retention.models import RetentionPolicy

    for number in range(1, TABLES + 1):
        RetentionPolicy.objects.create(
            name=f"events_{number}",
            schema_name="bench",
            table_name=f"events_{number}",
            age_column="created_at",
            keep_hours=KEEP_DAYS * 24,
            archive_first=archive,
        )


def _worker(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "worker", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def work() -> None:
    """Takes one queued run after another. What another worker took first is left to it."""
    _django()
    from django.db import connection

    from operations.models import Run
    from operations.runs.exceptions import RunBusy, TransitionRefused
    from operations.services.run_execute import run_execute

    connection.ensure_connection()
    print("ready", flush=True)
    sys.stdin.read()
    while (run := Run.objects.filter(state="queued").order_by("?").first()) is not None:
        try:
            run_execute(run_id=run.pk)
        except (RunBusy, TransitionRefused):
            continue


def _name(workers: int, *, archive: bool) -> str:
    return f"40 policies, {workers} worker{'s' * (workers > 1)}{', archived' * archive}"


CASES: dict[str, Callable[[Path], tuple[float, int]]] = {
    FLOOR: deletes,
    **{
        _name(workers, archive=archive): partial(purges, workers=workers, archive=archive)
        for archive in (False, True)
        for workers in (1, 2, 4)
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=[*CASES, "worker"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.case == "worker":
        work()
        return
    seconds, rows = CASES[options.case](options.folder)
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
