"""After a test that commits, the console's tables are as they were after the migrations.

Django empties all of them with TRUNCATE, which makes every file of every table and index anew, and
then has every app seed its rows again: half a second, a thousand times. Here what a test left
untouched is not touched, and what it changed gets its rows back. It is done by a session that
stays: it knows the tables from the test before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from psycopg import sql

# Every row, whatever its columns, in an order of its own.
_DIGEST = sql.SQL(
    "(SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {table} AS t)"
)


@dataclass(frozen=True)
class Baseline:
    """The rows that the migrations left."""

    rows: dict[str, bytes]
    """By table, as COPY writes them; a table without rows has none."""
    changed: sql.Composed
    """Asks for the names of the tables that are otherwise."""
    lock: sql.Composed
    parameters: dict[str, Any] = field(default_factory=dict)
    """Of a connection to where they are."""
    _sessions: list[psycopg.Connection] = field(default_factory=list)

    def session(self) -> psycopg.Connection:
        """Another one, if a test ended the last."""
        while self._sessions:
            try:
                self._sessions[0].execute("SELECT")
                return self._sessions[0]
            except psycopg.OperationalError:
                self.close()
        self._sessions.append(psycopg.connect(**self.parameters, autocommit=True))
        return self._sessions[0]

    def close(self) -> None:
        while self._sessions:
            self._sessions.pop().close()

    def restore(self) -> None:
        """Waits for whoever still writes, as TRUNCATE would."""
        if connection.connection is not None and not connection.get_autocommit():
            # We would wait for ourselves.
            connection.close()
        session = self.session()
        with session.transaction(), session.cursor() as cursor:
            # Neither foreign keys nor triggers: afterwards all rows fit together again.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(self.lock)
            cursor.execute(self.changed, prepare=True)
            changed = [name for (name,) in cursor.fetchall()]
            for name in changed:
                cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
                if name in self.rows:
                    with cursor.copy(
                        sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))
                    ) as copy:
                        copy.write(self.rows[name])
        if ContentType._meta.db_table in changed:
            ContentType.objects.clear_cache()


def baseline_take() -> Baseline | None:
    """None where the role may not leave triggers out."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
    except ProgrammingError:
        return None
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    rows = {}
    asks = []
    with connection.cursor() as cursor:
        for name in sorted(tables):
            table = sql.Identifier(name)
            with cursor.copy(sql.SQL("COPY {} TO STDOUT").format(table)) as copy:
                content = b"".join(bytes(each) for each in copy)
            if content:
                rows[name] = content
                cursor.execute(sql.SQL("SELECT {}").format(_DIGEST.format(table=table)))
                digest = cursor.fetchone()[0]
                differs = sql.SQL("{} <> {}").format(_DIGEST.format(table=table), digest)
            else:
                differs = sql.SQL("EXISTS (SELECT FROM {})").format(table)
            asks.append(sql.SQL("SELECT {} WHERE {}").format(name, differs))
    lock = sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(
        sql.SQL(", ").join(map(sql.Identifier, sorted(tables)))
    )
    parameters = connection.get_connection_params()
    for word in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(word, None)
    return Baseline(rows, sql.SQL(" UNION ALL ").join(asks), lock, parameters)
