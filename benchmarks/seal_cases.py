"""One case of benchmarks/seal.py, in a process of its own: prints what it cost as JSON.

python benchmarks/seal_cases.py seal shop.orders     seals what there is, after the floor
python benchmarks/seal_cases.py verify 2             verifies all with two processes, likewise
python benchmarks/seal_cases.py beat 10 30           summaries and seals at these seconds, until
                                                     standard input ends; 0 is never
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.audit_processor import processor_seconds
from benchmarks.purge_cases import peak_mib

FIRST = 25
"""Seconds after which beat seals first: so that at the end of a case little is left to seal."""
TOP = 25
"""Lines of a profile."""


@dataclass(frozen=True)
class Used:
    seconds: float
    cpu: float
    """Of this process, those it made and its session of the server, in seconds."""


class Clock:
    """What is used of the clock and of processors since it was made."""

    def __init__(self) -> None:
        self._backend = _backend()
        self._began, self._cpu = time.perf_counter(), self._now()

    def _now(self) -> float:
        own = sum(
            used.ru_utime + used.ru_stime
            for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        return own + processor_seconds(self._backend)

    @property
    def used(self) -> Used:
        return Used(time.perf_counter() - self._began, self._now() - self._cpu)


def _backend() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def floor(tables: Sequence[str], above: int) -> Used:
    """The versions' leaves, as the sealer reads them, by COPY into nothing."""
    _copy(tables, above)  # The first who reads a new page writes into it who committed.
    clock = Clock()
    _copy(tables, above)
    return clock.used


def _copy(tables: Sequence[str], above: int) -> None:
    from django.db import connection, transaction
    from psycopg import sql

    from auditing.models import TrackedTable
    from auditing.selectors.sealed_rows import PRINTED, VERSION_META, version_names
    from operations.session import set_local

    for tracked in TrackedTable.objects.filter(table_name__in=tables):
        names = [*VERSION_META, *version_names(tracked, using="default")]
        query = sql.SQL("COPY (SELECT {} FROM {} WHERE seq > {} ORDER BY seq) TO STDOUT").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), tracked.history.sql, sql.Literal(above)
        )
        with transaction.atomic(), connection.cursor() as cursor:
            set_local(PRINTED, using="default")
            with Path(os.devnull).open("wb") as nothing, cursor.cursor.copy(query) as copy:
                nothing.writelines(copy)


def seal(table: str, *, profiled: bool) -> dict[str, Any]:
    from django.db.models import Max

    from auditing.models import SealSection
    from auditing.services.audit_seal import audit_seal

    sections = SealSection.objects.filter(form="version")
    above = sections.aggregate(last=Max("last"))["last"] or 0
    least = floor([table], above)
    blocks = SealSection.objects.aggregate(last=Max("block"))["last"] or 0
    clock = Clock()
    with _profile(wanted=profiled):
        sealed = audit_seal()
    used = clock.used
    made = sections.filter(block__gt=blocks)
    versions = sum(len(ids) for ids in made.values_list("ids", flat=True))
    return _line(used, least, versions, leaves=sealed.leaves)


def verify(processes: int, *, profiled: bool) -> dict[str, Any]:
    from auditing.models import SealSection, TrackedTable
    from auditing.services import audit_verify as module
    from operations.services.actors import actor_get
    from operations.services.run_to_end import run_to_end

    tables = list(TrackedTable.objects.values_list("table_name", flat=True))
    least = floor(tables, 0)
    module.SMALL = 0 if processes > 1 else 10**12
    module.PROCESSES = processes
    clock = Clock()
    with _profile(wanted=profiled):
        run = run_to_end(run=module.audit_verify_start(requester=actor_get()))
    seconds = clock.used.seconds
    for process in active_children():
        process.join()  # Only then is known what it used.
    used = Used(seconds, clock.used.cpu)
    if run.result is None or run.result["findings"]:
        raise SystemExit(f"The log that nobody touched does not verify: {run.error} {run.result}")
    sections = SealSection.objects.filter(form="version")
    versions = sum(len(ids) for ids in sections.values_list("ids", flat=True))
    return _line(used, least, versions, leaves=run.result["checked"])


def beat(summarise: float, sealing: float) -> dict[str, Any]:
    """Both as beat has them done, one after the other, until standard input ends."""
    from auditing.services.audit_seal import audit_seal
    from auditing.services.statement_summarise import statement_summarise

    began = time.monotonic()
    clock, leaves = Clock(), 0
    due: list[tuple[float, float, Callable[[], Any]]] = [
        (began + summarise, summarise, statement_summarise)
    ]
    if sealing:
        due.append((began + FIRST, sealing, audit_seal))
    print("ready", flush=True)
    while True:
        at, every, work = due.pop(due.index(min(due, key=lambda each: each[0])))
        if select.select([sys.stdin], [], [], max(0, at - time.monotonic()))[0]:
            break
        done = work()
        leaves += getattr(done, "leaves", 0)
        due.append((max(at + every, time.monotonic()), every, work))
    return {"cpu": clock.used.cpu, "leaves": leaves}


def _line(used: Used, least: Used, versions: int, *, leaves: int) -> dict[str, Any]:
    return {
        "seconds": used.seconds,
        "cpu": used.cpu,
        "floor_seconds": least.seconds,
        "floor_cpu": least.cpu,
        "versions": versions,
        "leaves": leaves,
    }


@contextmanager
def _profile(*, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    with cProfile.Profile() as profile:
        yield
    stats = pstats.Stats(profile, stream=sys.stderr)
    stats.strip_dirs().sort_stats("tottime").print_stats(TOP)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=("seal", "verify", "beat"))
    parser.add_argument("values", nargs="*")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    values = options.values
    if options.case == "seal":
        found = seal(values[0], profiled=options.profile)
    elif options.case == "verify":
        found = verify(int(values[0]), profiled=options.profile)
    else:
        found = beat(float(values[0]), float(values[1]))
    print(json.dumps({**found, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
