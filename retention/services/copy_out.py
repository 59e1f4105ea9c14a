"""COPY ... TO STDOUT read in blocks, straight from libpq.

psycopg's own iteration starts a generator for every row. For a purge that costs as much time as the
compression of its archive (docs/performance.md), and row locks are held meanwhile.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from django.db import connections
from psycopg import sql
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn

from auditing.context import context_send
from auditing.statements import Writes, writes

BLOCK = 1 << 18

Sink = Callable[[bytearray], None]


def copy_out(copy: sql.Composable, sink: Sink, *, using: str) -> int:
    """Runs the COPY to its end; returns the number of rows.

    Args:
        sink: given blocks of whole rows, of `BLOCK` bytes or a little more but for the last, in
            turn; they are its own. What it raises ends the statement on the server.

    Raises:
        DatabaseError: in Django's classes, caused by psycopg's.
    """
    connections[using].ensure_connection()
    session = connections[using].connection
    if writes(copy) is Writes.YES:
        context_send(using=using)
    with connections[using].wrap_database_errors:
        started = session.pgconn.exec_(copy.as_bytes(session))
        if started.status != ExecStatus.COPY_OUT:
            raise _error(started, session)
        try:
            _read(session.pgconn, sink)
        except BaseException:
            _end(session)
            raise
        ended = session.pgconn.get_result()
        while session.pgconn.get_result() is not None:
            pass
        if ended is None or ended.status != ExecStatus.COMMAND_OK:
            raise _error(ended, session)
        return int(ended.command_tuples or 0)


def _read(pgconn: PGconn, sink: Sink) -> None:
    readable = select.poll()
    readable.register(pgconn.socket, select.POLLIN)
    next_row, block = pgconn.get_copy_data, bytearray()
    while True:
        length, row = next_row(1)
        if length > 0:
            block += row
            if len(block) >= BLOCK:
                sink(block)
                block = bytearray()
        elif length == 0:
            readable.poll()
            pgconn.consume_input()
        else:
            break
    if block:
        sink(block)


def _end(session: psycopg.Connection[Any]) -> None:
    """Leaves the connection ready for the ROLLBACK."""
    with suppress(psycopg.Error):
        session.cancel_safe(timeout=2.0)
        _read(session.pgconn, lambda _block: None)
    with suppress(psycopg.Error):
        while session.pgconn.get_result() is not None:
            pass


def _error(result: Any, session: psycopg.Connection[Any]) -> psycopg.Error:
    if result is None:
        return psycopg.OperationalError("the connection was lost")
    error = psycopg.errors.error_from_result(result, encoding=session.info.encoding)
    if error.sqlstate is None and session.pgconn.status != ConnStatus.OK:
        # libpq threw away why the server had ended the session before the statement came.
        return psycopg.OperationalError(str(error))
    return error
