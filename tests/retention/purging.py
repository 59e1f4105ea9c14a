"""A governed table with due rows, policies, and what is left of it all after a purge."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard
from django.conf import settings
from django.db import connection
from psycopg import sql

from operations.encryption import decrypted, identities
from operations.models import Run
from operations.storage import is_in_s3, storage
from retention.models import Archive, ArchivePart, RetentionPolicy
from retention.services.purge_start import PurgeAnswer

EVENTS = """
CREATE TABLE app.events (
    id bigint PRIMARY KEY,
    created_at timestamptz,
    kind text,
    "Amount (€)" numeric(12, 4),
    payload jsonb,
    raw bytea,
    tags text[],
    long text GENERATED ALWAYS AS (kind || '!') STORED
)
"""


def make_events(
    execute: Callable[..., Any], *, due: int, fresh: int = 50, ageless: int = 10
) -> None:
    """`app.events`: rows that are due, rows that are not, and rows of no known age."""
    execute(EVENTS)
    execute(
        sql.SQL(
            """
            INSERT INTO app.events (id, created_at, kind, "Amount (€)", payload, raw, tags)
            SELECT n, {age}, CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'k"e,y' || n END,
                   n / 7.0, jsonb_build_object('n', n), decode(md5(n::text), 'hex'),
                   ARRAY[n::text, NULL, '{{}}']
            FROM generate_series(1, {all}) AS n
            """
        ).format(
            age=sql.SQL(
                "CASE WHEN n <= {due} THEN now() - interval '400 days' - n * interval '1 min'"
                " WHEN n <= {dated} THEN now() - n * interval '1 second' END"
            ).format(due=sql.Literal(due), dated=sql.Literal(due + fresh)),
            all=sql.Literal(due + fresh + ageless),
        )
    )


def make_policy(table: str = "events", *, archive: bool = True, **terms: Any) -> RetentionPolicy:
    given = {
        "name": table,
        "schema_name": "app",
        "table_name": table,
        "age_column": "created_at",
        "keep_hours": 24 * 365,
        "archive_first": archive,
        **terms,
    }
    return RetentionPolicy.objects.create(**given)


def ran(answer: PurgeAnswer) -> Run:
    """The run, which ended well."""
    assert answer.run is not None, answer.refusal
    assert answer.run.state == "succeeded", answer.run.error
    return answer.run


def messages(run: Run) -> list[str]:
    return list(run.events.values_list("message", flat=True))


def live(table: str = "app.events") -> Counter[str]:
    """Every row of the table, whole, as text."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT t::text FROM {table} t")
        return Counter(row[0] for row in cursor.fetchall())


def archived(table: str = "app.events", *, select: str = "b::text") -> Counter[Any]:
    """Every row of every part that the database knows, as PostgreSQL itself reads it back.

    `select`: what of the row `b`; one value, or a row of several.
    """
    found: Counter[Any] = Counter()
    parts = ArchivePart.objects.exclude(archive__state=Archive.State.DESTROYED)
    for part in parts.select_related("archive").order_by("id"):
        columns = [column["name"] for column in part.archive.layout["columns"]]
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        rows = _read_back(table, names, packed(part.file), select)
        assert len(rows) == part.rows
        found.update(rows)
    return found


def _read_back(table: str, names: sql.Composable, content: bytes, select: str) -> list[Any]:
    with connection.cursor() as cursor:
        # No ON COMMIT DROP: the tests have no transaction.
        cursor.execute("DROP TABLE IF EXISTS pg_temp.back")
        cursor.execute(f"CREATE TEMPORARY TABLE back (LIKE {table} INCLUDING GENERATED)")
        copy = sql.SQL("COPY pg_temp.back ({}) FROM STDIN (FORMAT csv, HEADER true)").format(names)
        with cursor.copy(copy) as into:
            into.write(zstandard.ZstdDecompressor().decompressobj().decompress(content))
        cursor.execute(f"SELECT {select} FROM pg_temp.back b")
        return [row[0] if len(row) == 1 else row for row in cursor.fetchall()]


def packed(file: str) -> bytes:
    """What was compressed, decrypted where it is encrypted."""
    content = stored(file)
    if not file.endswith(".age"):
        return content
    return b"".join(decrypted(io.BytesIO(content), identities()))


def stored(file: str) -> bytes:
    with storage().open(file) as opened:
        return opened.read()


def files(folder: str = "archives") -> set[str]:
    """Every file there is, drafts included."""
    if is_in_s3(settings.CUSTODY_STORAGE):
        store = storage()
        return {*store.list(f"{folder}/"), *store.list_drafts(f"{folder}/")}
    root = Path(settings.CUSTODY_STORAGE)
    return {str(path.relative_to(root)) for path in (root / folder).rglob("*") if not path.is_dir()}


def known_files(*, complete: bool = True) -> set[str]:
    """Every file of the archives that the database knows of."""
    parts = ArchivePart.objects.select_related("archive")
    known = {part.file for part in parts} | {f"{part.file}.json" for part in parts}
    if complete:
        known |= {f"{part.archive.folder}/manifest.json" for part in parts}
    return known


def assert_whole(
    original: Counter[str], *, table: str = "app.events", complete: bool = True
) -> None:
    """Every row is live or in exactly one part, byte for byte, and no file is an orphan."""
    assert live(table) + archived(table) == original
    assert files() == known_files(complete=complete)
    for part in ArchivePart.objects.all():
        sidecar = json.loads(stored(f"{part.file}.json"))
        assert (sidecar["sha256"], sidecar["rows"]) == (part.sha256, part.rows)
