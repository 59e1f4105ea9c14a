"""The events by months of 30 days, ten of them expired as a whole; and the script to purge them.

The floor is what anybody would write: for each expired partition DETACH CONCURRENTLY, COPY to a
zstd file, fsync, DROP. It counts nothing, and whoever writes to a detached partition is lost.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psycopg
import zstandard
from psycopg import sql

TABLE = "months"
FLOOR = "DETACH, COPY to zstd, DROP"
CASE = "purge of partitions with archive"

MAKE_TABLE = """
CREATE TABLE bench.months (LIKE bench.events, PRIMARY KEY (id, created_at))
    PARTITION BY RANGE (created_at);
DO $$
DECLARE
    cutoff timestamptz := date_trunc('day', now()) - interval '365 days';
    month interval := interval '30 days';
BEGIN
    FOR n IN -11..11 LOOP
        EXECUTE format(
            'CREATE TABLE bench.months_%s PARTITION OF bench.months FOR VALUES FROM (%L) TO (%L)'
            ' WITH (autovacuum_enabled = false)',
            to_char(n + 11, 'FM00'), cutoff + n * month, cutoff + (n + 1) * month);
    END LOOP;
END
$$;
INSERT INTO bench.months SELECT * FROM bench.events;
DROP TABLE bench.events
"""

_EXPIRED = """
SELECT i.inhrelid::regclass::text FROM pg_inherits i
WHERE i.inhparent = 'bench.months'::regclass AND i.inhrelid::regclass::text <= 'bench.months_10'
ORDER BY 1
"""


def detach_copy_drop(folder: Path) -> tuple[float, int]:
    """The floor."""
    rows = 0
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
        expired = [name for (name,) in session.execute(_EXPIRED).fetchall()]
        began = time.perf_counter()
        for name in expired:
            leaf = sql.Identifier(*name.split("."))
            session.execute(
                sql.SQL("ALTER TABLE bench.months DETACH PARTITION {} CONCURRENTLY").format(leaf)
            )
            rows += _copied(session, leaf, folder / f"{name}.csv.zst")
            session.execute(sql.SQL("DROP TABLE {}").format(leaf))
        return time.perf_counter() - began, rows


def _copied(session: psycopg.Connection, leaf: sql.Identifier, path: Path) -> int:
    copy = sql.SQL("COPY {} TO STDOUT (FORMAT csv, HEADER true)").format(leaf)
    compressor = zstandard.ZstdCompressor(level=3)
    cursor = session.cursor()
    with path.open("wb") as file:
        with (
            compressor.stream_writer(file, closefd=False) as packed,
            cursor.copy(copy) as blocks,
        ):
            for block in blocks:
                packed.write(block)
        file.flush()
        os.fsync(file.fileno())
    return cursor.rowcount
