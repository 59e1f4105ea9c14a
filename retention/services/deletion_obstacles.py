"""What the database said to a deletion or its restore, as sentences that tell nobody's values."""

from __future__ import annotations

import re

import psycopg

from auditing.selectors.unkept import untold_names
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import TableName

_KEY = re.compile(r"Key \((?P<columns>.*?)\)=\(")


def why_not_now(cause: psycopg.Error) -> str:
    """Of what is not about the record: somebody else, or a missing right; empty for another."""
    if isinstance(
        cause,
        psycopg.errors.LockNotAvailable
        | psycopg.errors.DeadlockDetected
        | psycopg.errors.QueryCanceled,
    ):
        return "Somebody else is at the same rows at this moment: try again."
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return (
            f"The console's role may not do this: {cause.diag.message_primary}. "
            "`manage.py roles_sql` prints the grants."
        )
    return ""


def violated(cause: psycopg.Error, *, using: str) -> str:
    """Which constraint refuses, with the key in question where anybody may be told it."""
    message = f"{cause.diag.message_primary}."
    detail = cause.diag.message_detail or ""
    found = _KEY.match(detail)
    # Of a CHECK or a NOT NULL the detail is the whole row.
    if found is None or not cause.diag.table_name:
        return message
    try:
        name = TableName(cause.diag.schema_name or "", cause.diag.table_name)
        untold = untold_names(read_table(name, using=using), using=using)
    except NoSuchTable:
        return message
    named = set(re.findall(r"\w+", found["columns"]))
    return message if named & untold else f"{message} {detail}"
