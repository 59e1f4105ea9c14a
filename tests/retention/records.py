"""Governed tables that refer to each other, and what is left of them after a purge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from psycopg import sql

from retention.models import Archive, ArchivePart, RetentionPolicy

from .purging import _read_back, files, known_files, live, make_policy, packed

State = dict[str, Counter[Any]]


def state(*tables: str) -> State:
    """Every row of each table, whole."""
    return {table: live(f"app.{table}") for table in tables}


def archives(*tables: str, runs: Collection[int] | None = None) -> State:
    """Every row of each table that some part has; `runs`: some part of these."""
    found: State = {table: Counter() for table in tables}
    parts = ArchivePart.objects.select_related("archive").order_by("id")
    for part in parts if runs is None else parts.filter(archive__run__in=runs):
        archive = part.archive
        names = sql.SQL(", ").join(
            sql.Identifier(column["name"]) for column in archive.layout["columns"]
        )
        table = f'app."{archive.table_name}"'
        rows = _read_back(table, names, packed(part.file), "b::text")
        assert len(rows) == part.rows
        found[archive.table_name].update(rows)
    return found


def assert_all_there(before: State, *, complete: bool = True) -> None:
    """Every row is live or in exactly one part, byte for byte, and no file is an orphan."""
    tables = tuple(before)
    now, gone = state(*tables), archives(*tables)
    assert {table: now[table] + gone[table] for table in tables} == before
    # A root's archive may have no part yet.
    manifests = {f"{each.folder}/manifest.json" for each in Archive.objects.all()}
    assert files() == known_files(complete=False) | (manifests if complete else set())


def record_policy(root: str, dependents: Iterable[str], **terms: Any) -> RetentionPolicy:
    return make_policy(root, dependents=[["app", name] for name in dependents], **terms)
