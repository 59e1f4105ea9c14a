"""One way of removing the expired half of a table of events, run in a process of its own.

`python benchmarks/purge_cases.py CASE FOLDER` works on the database that DATABASE_URL names and
prints `{seconds, rows, peak_mib}`. Files that the case writes go into FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
import zstandard

from benchmarks import purge_partitions

TABLE = "bench.events"
KEEP_DAYS = 365
CHUNK = 10_000
ORM_CHUNK = 1_000

_DELETE = f"DELETE FROM {TABLE} WHERE created_at < %s"

Case = Callable[[Path], tuple[float, int]]
"""Takes a folder, returns seconds and rows."""


def one_delete(_: Path) -> tuple[float, int]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
        began = time.perf_counter()
        rows = session.execute(_DELETE, [_cutoff()]).rowcount
        return time.perf_counter() - began, rows


def copy_then_delete(folder: Path) -> tuple[float, int]:
    """What anybody would write: the expired rows to a compressed file, fsync, one DELETE."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as session:
        began = time.perf_counter()
        copy = (
            f"COPY (SELECT * FROM {TABLE} WHERE created_at < '{_cutoff()}')"
            " TO STDOUT (FORMAT csv, HEADER true)"
        )
        compressor = zstandard.ZstdCompressor(level=3)
        with (folder / "events.csv.zst").open("wb") as file:
            with (
                compressor.stream_writer(file, closefd=False) as packed,
                session.cursor().copy(copy) as blocks,
            ):
                for block in blocks:
                    packed.write(block)
            file.flush()
            os.fsync(file.fileno())
        rows = session.execute(_DELETE, [_cutoff()]).rowcount
        session.commit()
        return time.perf_counter() - began, rows


def skip_locked_loop(_: Path) -> tuple[float, int]:
    statement = (
        f"DELETE FROM {TABLE} WHERE id = ANY (ARRAY(SELECT id FROM {TABLE} WHERE created_at < %s"
        f" LIMIT {CHUNK} FOR UPDATE SKIP LOCKED))"
    )
    rows = 0
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
        began = time.perf_counter()
        while count := session.execute(statement, [_cutoff()]).rowcount:
            rows += count
        return time.perf_counter() - began, rows


def orm_loop(_: Path) -> tuple[float, int]:
    """`QuerySet.delete()` in chunks. The model has no signals and nothing refers to it."""
    _django()
    from benchmarks.purge_model import event_model

    events = event_model()
    rows = 0
    due = events.objects.filter(created_at__lt=_cutoff()).values_list("pk", flat=True)
    events.objects.exists()
    began = time.perf_counter()
    while keys := list(due[:ORM_CHUNK]):
        rows += events.objects.filter(pk__in=keys).delete()[0]
    return time.perf_counter() - began, rows


def purge(_: Path) -> tuple[float, int]:
    return _purge(archive=False)


def purge_with_archive(_: Path) -> tuple[float, int]:
    return _purge(archive=True)


def purge_of_partitions(_: Path) -> tuple[float, int]:
    return _purge(purge_partitions.TABLE, archive=True)


def _purge(table: str = "events", *, archive: bool) -> tuple[float, int]:
    """All of it: counting, planning, every batch, reading the parts back, the certificate.

    By a worker that is up: it has purged a small table before.
    """
    _django()
    _purge_one("first", archive=archive)
    return _purge_one(table, archive=archive)


def _purge_one(table: str, *, archive: bool) -> tuple[float, int]:
    from operations.services.actors import actor_get
    from retention.models import RetentionPolicy
    from retention.services.purge_start import purge_run

    policy = RetentionPolicy.objects.create(
        name=table,
        schema_name="bench",
        table_name=table,
        age_column="created_at",
        keep_hours=KEEP_DAYS * 24,
        archive_first=archive,
    )
    requester = actor_get()
    began = time.perf_counter()
    run = purge_run(policy=policy, requester=requester).run
    seconds = time.perf_counter() - began
    if run is None or run.state != "succeeded":
        raise SystemExit(f"The purge did not succeed: {run and run.error}")
    return seconds, run.done


CASES: dict[str, Case] = {
    "one DELETE": one_delete,
    "purge": purge,
    "COPY to zstd, then one DELETE": copy_then_delete,
    "purge with archive": purge_with_archive,
    "SKIP LOCKED loop of 10,000": skip_locked_loop,
    "QuerySet.delete() by 1,000": orm_loop,
    purge_partitions.FLOOR: purge_partitions.detach_copy_drop,
    purge_partitions.CASE: purge_of_partitions,
}
PARTITIONED = (purge_partitions.FLOOR, purge_partitions.CASE)
"""Cases on the events by months."""


def _cutoff() -> datetime:
    return datetime.now(UTC) - timedelta(days=KEEP_DAYS)


def _django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()


def peak_mib() -> float:
    """The most memory this process ever had, in MiB."""
    with suppress(OSError, StopIteration):
        # Linux counts into ru_maxrss what the process was before exec; this it does not.
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(x for x in lines if x.startswith("VmHWM:")).split()[1]) / 1024
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    seconds, rows = CASES[options.case](options.folder)
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
