"""What a statement does to a transaction, told from its text: it writes, or moves a savepoint."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Any

from psycopg import sql


class Writes(IntEnum):
    NO = 0
    MAYBE = 1
    """A block, a procedure or a prepared statement: only the server knows."""
    YES = 2


_KEYWORD = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*([a-z]+)", re.IGNORECASE | re.DOTALL)
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE"})
_UNKNOWN = frozenset({"DO", "CALL", "EXECUTE"})
_LOOKED_INTO = frozenset({"WITH", "COPY", "EXPLAIN"})

# Text in which no keyword means anything, in the order in which the server's scanner tries.
_TEXT = re.compile(
    r"""
    --[^\n]* | /\*.*?\*/
    | \bE'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
# A changing WITH query stands in parentheses, the main statement behind those of the last.
_CHANGING = re.compile(
    r"[()]\s*(?:INSERT|UPDATE|DELETE|MERGE)\b|\b(?:INSERT|MERGE)\s+INTO\b|\bDELETE\s+FROM\b",
    re.IGNORECASE,
)
_COPY_IN = re.compile(r"\s*COPY\b[^()]*(?:\([^)]*\))?\s*FROM\b", re.IGNORECASE)
_ANALYZE = re.compile(r"\s*EXPLAIN\b[^;]*?\bANALY[SZ]E\b", re.IGNORECASE)
_CHANGING_WORD = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)

_SAVEPOINT = re.compile(
    r"""
    \s*(?P<what>SAVEPOINT | RELEASE(?:\s+SAVEPOINT)? | ROLLBACK(?:\s+(?:WORK|TRANSACTION))?\s+TO
                (?:\s+SAVEPOINT)?)
    \s+(?P<name>"(?:[^"]|"")+" | \w+)\s*;?\s*\Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ENDS = re.compile(r"\s*(?:ROLLBACK|ABORT|COMMIT|END)\b", re.IGNORECASE)

_MOST_REMEMBERED = 2_000
"""Characters of a statement whose answer is kept for the next time."""


def writes(statement: Any) -> Writes:
    """Whether the statement writes rows: text, bytes or composed by psycopg.

    A function that writes, called by SELECT, is not recognised.
    """
    text = statement_text(statement)
    return _remembered(text) if len(text) <= _MOST_REMEMBERED else _writes(text)


def savepoint_moved(statement: Any) -> tuple[str, str] | None:
    """What is done to which savepoint: `("SAVEPOINT", "a")`, RELEASE or ROLLBACK; None: nothing.

    The end of the transaction, written as SQL, is a ROLLBACK to no name.
    """
    text = statement_text(statement)
    if found := _SAVEPOINT.match(text):
        name = found["name"]
        quoted = name.startswith('"')
        return found["what"].split()[0].upper(), name[1:-1] if quoted else name.lower()
    return ("ROLLBACK", "") if _ENDS.match(text) else None


def statement_text(statement: Any) -> str:
    """The statement with a letter in the place of each name and value that is not in its text."""
    if isinstance(statement, str):
        return statement
    if isinstance(statement, bytes):
        return statement.decode("utf-8", "replace")
    if isinstance(statement, sql.Composed):
        return "".join(map(statement_text, statement))
    return statement.as_string(None) if isinstance(statement, sql.SQL) else "x"


def _writes(text: str) -> Writes:
    found = _KEYWORD.match(text)
    keyword = found[1].upper() if found else ""
    if keyword in _WRITING:
        return Writes.YES
    if keyword in _UNKNOWN:
        return Writes.MAYBE
    if keyword not in _LOOKED_INTO and ";" not in text:
        return Writes.NO
    pieces = _TEXT.sub(lambda m: " " if m[0][:2] in ("--", "/*") else " x ", text).split(";")
    return max(map(_piece_writes, pieces))


def _piece_writes(text: str) -> Writes:
    found = _KEYWORD.match(text)
    keyword = found[1].upper() if found else ""
    if keyword in _WRITING:
        return Writes.YES
    if keyword in _UNKNOWN:
        return Writes.MAYBE
    if keyword == "EXPLAIN":
        return Writes(2 * bool(_ANALYZE.match(text) and _CHANGING_WORD.search(text)))
    if keyword in _LOOKED_INTO:
        return Writes(2 * bool(_CHANGING.search(text) or _COPY_IN.match(text)))
    return Writes.NO


_remembered = lru_cache(maxsize=1024)(_writes)
