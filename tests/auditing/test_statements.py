"""A statement that writes is told from one that reads by its text, whatever stands in it."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import sql

from auditing.statements import Writes, savepoint_moved, writes

READS = [
    "SELECT 1",
    "  -- UPDATE it\n SELECT 1",
    "/* DELETE FROM t */ SELECT 1",
    "(SELECT 1) UNION (SELECT 2)",
    "SELECT 'a; DELETE FROM t'",
    "SELECT $$; DELETE FROM t$$; SELECT $a$ ; INSERT INTO t $a$",
    "SELECT E'it\\'s; DELETE FROM t'",
    'SELECT "x; DELETE FROM t" FROM t',
    "SELECT * FROM t FOR UPDATE",
    "WITH a AS (SELECT * FROM t FOR NO KEY UPDATE) SELECT * FROM a",
    "WITH a AS (SELECT 'DELETE FROM t' AS \"(DELETE\") SELECT * FROM a",
    "WITH a AS (SELECT 1 AS updated, 2 AS delete_me) SELECT (updated), (delete_me) FROM a",
    "COPY t TO STDOUT",
    "COPY (SELECT * FROM t) TO STDOUT",
    "COPY (SELECT a FROM t WHERE b = 'DELETE FROM t') TO STDOUT",
    "EXPLAIN DELETE FROM t",
    "EXPLAIN (COSTS OFF) UPDATE t SET a = 1",
    "EXPLAIN ANALYZE SELECT 1",
    "SHOW work_mem",
    "SET LOCAL work_mem = '1MB'",
    "VACUUM t",
    "CREATE TABLE t (a int)",
    "",
    ";",
]
WRITES = [
    "INSERT INTO t VALUES (1)",
    "insert into t select 1",
    "\n\tUpdate t SET a = 1",
    "DELETE FROM t",
    "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE t",
    "/* a */ -- b\n /* c */ DELETE FROM t",
    "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
    "WITH a AS MATERIALIZED (\n  -- all of them\n  UPDATE t SET a = 1 RETURNING *) TABLE a",
    "WITH RECURSIVE a AS (SELECT 1) UPDATE t SET a = 1",
    "WITH a AS (SELECT 1) SEARCH DEPTH FIRST BY a SET b INSERT INTO t SELECT * FROM a",
    "COPY t FROM STDIN",
    "COPY t (a, b) FROM STDIN (FORMAT csv)",
    "COPY (DELETE FROM t RETURNING *) TO STDOUT",
    "COPY (WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a) TO STDOUT",
    "EXPLAIN ANALYZE DELETE FROM t",
    "EXPLAIN (BUFFERS, ANALYZE) INSERT INTO t VALUES (1)",
    "SELECT 1; DELETE FROM t",
    "SET LOCAL work_mem = '1MB'; SELECT ';'; INSERT INTO t VALUES (1)",
    b"DELETE FROM t",
    sql.SQL("DELETE FROM {}").format(sql.Identifier("t")),
    sql.SQL("COPY ({}) TO STDOUT").format(sql.SQL("DELETE FROM t RETURNING *")),
    sql.SQL("INSERT INTO t VALUES (1)"),
    "INSERT INTO t VALUES " + ", ".join(["(%s)"] * 5_000),
]


@pytest.mark.parametrize("statement", READS)
def test_what_reads(statement: Any) -> None:
    assert writes(statement) is Writes.NO


@pytest.mark.parametrize("statement", WRITES)
def test_what_writes(statement: Any) -> None:
    assert writes(statement) is Writes.YES


@pytest.mark.parametrize(
    "statement", ["DO $$ BEGIN END $$", "CALL p()", "EXECUTE s", "select 1; do ''"]
)
def test_what_nobody_knows(statement: Any) -> None:
    assert writes(statement) is Writes.MAYBE


@pytest.mark.parametrize(
    ("statement", "moved"),
    [
        ("SAVEPOINT a", ("SAVEPOINT", "a")),
        ('SAVEPOINT "s1_x2"', ("SAVEPOINT", "s1_x2")),
        ("savepoint A;", ("SAVEPOINT", "a")),
        ('SAVEPOINT "A b"', ("SAVEPOINT", "A b")),
        ("RELEASE a", ("RELEASE", "a")),
        ("RELEASE SAVEPOINT a", ("RELEASE", "a")),
        ("ROLLBACK TO a", ("ROLLBACK", "a")),
        ("ROLLBACK TRANSACTION TO SAVEPOINT a", ("ROLLBACK", "a")),
        ("rollback work to a", ("ROLLBACK", "a")),
        ("ROLLBACK", ("ROLLBACK", "")),
        ("COMMIT", ("ROLLBACK", "")),
        ("SELECT 'ROLLBACK'", None),
        ("UPDATE t SET a = 1", None),
    ],
)
def test_what_moves_a_savepoint(statement: str, moved: tuple[str, str] | None) -> None:
    assert savepoint_moved(statement) == moved
