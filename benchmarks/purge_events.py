"""The databases of the purge benchmark: templates that hold the events, and a copy for a case."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.purge_cases import KEEP_DAYS

ROOT = Path(__file__).resolve().parent.parent

_TABLE = """
CREATE SCHEMA bench;
CREATE TABLE bench.events (
    id bigint PRIMARY KEY,
    user_id uuid,
    name text NOT NULL,
    path text NOT NULL,
    properties jsonb NOT NULL,
    ip_address inet,
    created_at timestamptz NOT NULL
) WITH (autovacuum_enabled = false);
CREATE TABLE bench.first AS
SELECT n AS id, now() - interval '2 years' AS created_at FROM generate_series(1, 1000) AS n
"""

# In the order in which events arrive. No row is within a month of the cutoff, so the runs of a long
# benchmark find the same rows expired.
_ROWS = """
INSERT INTO bench.events
SELECT n,
    CASE WHEN n %% 5 > 0 THEN md5((n %% 20011)::text)::uuid END,
    (ARRAY['page_view', 'page_view', 'product_view', 'search', 'add_to_cart'])[1 + h %% 5],
    '/products/' || h %% 4000,
    jsonb_build_object('referrer', (ARRAY['direct', 'https://search.example.net/'])[1 + h %% 2],
                       'ms', h %% 9000),
    ('10.' || h %% 256 || '.' || h / 256 %% 256 || '.' || h / 65536 %% 256)::inet,
    now() - make_interval(days => %(keep)s) + interval '30 days'
        * (CASE WHEN age > 0 THEN 1 ELSE -1 END) + interval '300 days' * age
FROM (SELECT n, abs(hashint8(n)::bigint) AS h, 2 * n / %(rows)s::float - 1 AS age
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS numbers
"""


class Databases:
    """Makes and drops databases of its own on the server of `url`; touches no other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.mark = f"custody_bench_{os.getpid()}"
        self._admin = psycopg.connect(url, autocommit=True)

    def address(self, name: str) -> str:
        return make_conninfo(self.url, dbname=f"{self.mark}_{name}")

    def template(
        self, name: str, *, rows: int, index: bool, environment: dict[str, str], more: str = ""
    ) -> None:
        """A migrated console and `rows` events, half of them expired; then `more` SQL."""
        self._create(name)
        subprocess.run(
            [sys.executable, ROOT / "manage.py", "migrate", "--verbosity", "0"],
            env={**environment, "DATABASE_URL": self.address(name)},
            check=True,
        )
        with psycopg.connect(self.address(name), autocommit=True) as session:
            session.execute(_TABLE)
            step = 200_000
            for first in range(1, rows + 1, step):
                session.execute(
                    _ROWS,
                    {
                        "keep": KEEP_DAYS,
                        "rows": rows,
                        "first": first,
                        "last": min(first + step - 1, rows),
                    },
                )
            if index:
                session.execute("CREATE INDEX ON bench.events (created_at)")
            session.execute(more)
            session.execute("VACUUM (ANALYZE)")

    @contextmanager
    def copy(self, template: str) -> Iterator[tuple[str, str]]:
        """A fresh copy of the template: its name and its DATABASE_URL. Dropped afterwards."""
        self._create("case", template)
        try:
            # The case must not pay for what was written before it.
            self._admin.execute("CHECKPOINT")
            yield f"{self.mark}_case", self.address("case")
        finally:
            self._drop(f"{self.mark}_case")

    def close(self) -> None:
        made = self._admin.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [f"{self.mark}_"]
        ).fetchall()
        for (name,) in made:
            self._drop(name)
        self._admin.close()

    def _create(self, name: str, template: str = "") -> None:
        source = sql.Identifier(f"{self.mark}_{template}" if template else "template0")
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(f"{self.mark}_{name}"), source
            )
        )

    def _drop(self, name: str) -> None:
        self._admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


class LongestLock:
    """The age of the oldest transaction that wrote, in one database, asked every 5 ms.

    A row that a transaction locked or deleted stays so until it ends, so no writer can have
    waited longer than this.
    """

    _AGE = (
        "SELECT extract(epoch FROM max(clock_timestamp() - xact_start))"
        " FROM pg_stat_activity WHERE datname = %s AND backend_xid IS NOT NULL"
        " AND backend_type = 'client backend'"
    )

    def __init__(self, url: str, database: str) -> None:
        self.seconds = 0.0
        self._url, self._database = url, database
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as session:
            session.prepare_threshold = 1
            while not self._end.wait(0.005):
                (age,) = session.execute(self._AGE, [self._database]).fetchone() or (None,)
                self.seconds = max(self.seconds, float(age or 0))
