"""Archives of a history lose redacted values: their parts are written anew without them.

Invariants:
- The part without the values is durable, and known with its digest, before the old one goes; and
  it has every row that the old one had.
- A veto wins: while anybody protects rows of the history, or of the table that it is of, its
  archives stay as they are. It is asked in the transaction that makes the new part known.
- What the storage has locked stays until the lock ends, and that is said.
- Killed at any moment, it is done again: a part that has no such value any more is left alone, and
  files that no part is known by, beside one that was redacted, go.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

from django.db import connections, transaction
from django.utils import timezone
from psycopg import sql

from auditing.models import TrackedTable
from auditing.selectors.images import Shape, shape_of
from auditing.selectors.keys import record_id_of
from auditing.selectors.redactable import Redactable, Stretch
from operations import vetoes
from operations.catalogue.identifiers import Identifier
from operations.encryption import unreadable
from operations.runs.kinds import Beat
from operations.storage import Storage, storage, write_once
from operations.vetoes import Vetoed
from retention.models import Archive, ArchivePart
from retention.services.archive_rows import ROWS, ArchiveRows, staged
from retention.services.copy_out import copy_out
from retention.services.layout import session_pin
from retention.services.part_writer import PartWriter, WrittenPart
from retention.services.protection import Protection
from retention.services.purge_close import manifest_of

CHOSEN = sql.SQL("pg_temp.custody_redacting")
"""Whose versions lose the values: record, first and last number."""
SECONDS = 3600.0
"""For one part; nobody waits for it."""
_MARK = "-redacted-"
_INSERT = sql.SQL("INSERT INTO {} SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[])")


class ArchivesOfHistory:
    """A place where versions are kept: see `auditing.redactions`."""

    def planned(self, tracked: TrackedTable, *, using: str) -> list[str]:
        told = []
        for archive in _archives(tracked):
            why = _kept_because(archive, tracked, using)
            does = "is written anew without the values" if not why else f"stays as it is: {why}"
            told.append(f"The archive {archive.name} of {tracked.history} {does}.")
        return told

    def redact(
        self,
        tracked: TrackedTable,
        columns: Sequence[Redactable],
        stretches: Sequence[Stretch],
        *,
        run_id: int,
        beat: Beat,
        using: str,
    ) -> None:
        for archive in _archives(tracked):
            if not _kept_because(archive, tracked, using):
                work = _Rewriting(archive, tracked, columns, run_id, using)
                work.go(stretches, beat)

    def done(self, tracked: TrackedTable, *, run_id: int, using: str) -> list[dict[str, Any]]:
        return [
            {
                "archive": archive.name,
                "manifest_sha256": archive.manifest_sha256,
                "former_manifest_sha256": each["former_manifest_sha256"],
                "parts": each["parts"],
            }
            for archive in _archives(tracked)
            for each in archive.redactions
            if each["run"] == run_id
        ]

    def remaining(self, tracked: TrackedTable, *, using: str) -> list[str]:
        return [
            f"The archive {archive.name} of {tracked.history} may hold values: {why}."
            for archive in _archives(tracked)
            if (why := _kept_because(archive, tracked, using))
        ]


def _archives(tracked: TrackedTable) -> list[Archive]:
    return list(
        Archive.objects.select_related("run", "policy")
        .filter(schema_name=tracked.history.schema, table_name=tracked.history.name)
        .exclude(state=Archive.State.DESTROYED)
        .order_by("id")
    )


def _kept_because(archive: Archive, tracked: TrackedTable, using: str) -> str:
    """Why it cannot be written anew now; empty when it can."""
    if archive.state != Archive.State.COMPLETE:
        return "it is still being written; redact once more when it is complete"
    if archive.locked_until is not None and archive.locked_until > timezone.now():
        return f"the storage has it locked until {archive.locked_until:%Y-%m-%d}"
    if by := _holders(tracked, using):
        return f"{', '.join(by)} protects rows of its table"
    if why := unreadable(archive.recipients):
        return why.rstrip(".")
    return ""


def _holders(tracked: TrackedTable, using: str) -> list[str]:
    found = [
        *vetoes.holders(tracked.history, using=using),
        *vetoes.holders(tracked.table, using=using),
    ]
    return list(dict.fromkeys(found))


class _Rewriting:
    """Of one archive."""

    def __init__(
        self,
        archive: Archive,
        tracked: TrackedTable,
        columns: Sequence[Redactable],
        run_id: int,
        using: str,
    ) -> None:
        self._archive, self._tracked, self._columns = archive, tracked, columns
        self._run_id, self._using = run_id, using
        self._shape: Shape = shape_of(tracked)
        self._store: Storage = storage()

    def go(self, stretches: Sequence[Stretch], beat: Beat) -> None:
        rows = ArchiveRows(self._archive, using=self._using)
        self._choose(stretches)
        count = sql.SQL("SELECT pg_catalog.count(*) FROM {} h WHERE {} AND {}").format(
            self._versions(), self._chosen(), self._has_value()
        )
        try:
            for part in self._archive.parts.order_by("number"):
                slices = rows.read(count, parts=[part], beat=beat)
                if found := sum(each.rows[0][0] for each in slices):
                    self._part(part, rows, found, beat)
        finally:
            rows.close()
        self._sweep()
        self._manifest()

    def _choose(self, stretches: Sequence[Stretch]) -> None:
        with connections[self._using].cursor() as cursor:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(CHOSEN))
            cursor.execute(
                sql.SQL(
                    "CREATE TEMPORARY TABLE {} (record pg_catalog.text, first pg_catalog.int8,"
                    " last pg_catalog.int8)"
                ).format(CHOSEN)
            )
            ids, firsts, lasts = zip(*stretches, strict=True)
            cursor.execute(_INSERT.format(CHOSEN), [list(ids), list(firsts), list(lasts)])
            cursor.execute(sql.SQL("ANALYZE {}").format(CHOSEN))

    # SQL over `h`, a row of the stage under the names of the history.

    def _versions(self) -> sql.Composable:
        names = [column["name"] for column in self._archive.layout["columns"]]
        listed: list[sql.Composable] = [
            sql.SQL("{} AS {}").format(staged(place), Identifier(name))
            for place, name in enumerate(names)
        ]
        # The history got them after the archive was written.
        listed += [
            sql.SQL("NULL::{} AS {}").format(sql.SQL(kept.type), Identifier(kept.name))
            for column in self._shape.columns
            for kept in column.kept
            if kept.name not in names
        ]
        return sql.SQL("(SELECT line, {} FROM {})").format(sql.SQL(", ").join(listed), ROWS)

    def _chosen(self) -> sql.Composable:
        return sql.SQL(
            "EXISTS (SELECT FROM {} s WHERE s.record = {} AND h.seq BETWEEN s.first AND s.last)"
        ).format(CHOSEN, record_id_of(self._shape))

    def _has_value(self) -> sql.Composable:
        return sql.SQL("({})").format(
            sql.SQL(" OR ").join(each.has_value() for each in self._columns)
        )

    def _copy(self, *, header: bool) -> sql.Composable:
        """What the part had, in its order, without the values."""
        gone = {name for each in self._columns for name in each.kept}
        entries = sql.Literal([each.entry for each in self._columns])
        listed = []
        for column in self._archive.layout["columns"]:
            name = Identifier("h", column["name"])
            kept: sql.Composable = name
            if column["name"] in gone:
                kept = sql.SQL("CASE WHEN NOT {} THEN {} END").format(self._chosen(), name)
            elif column["name"] == "rest":
                kept = sql.SQL(
                    "CASE WHEN {} THEN NULLIF({} - {}::pg_catalog.text[], '{{}}') ELSE {} END"
                ).format(self._chosen(), name, entries, name)
            listed.append(sql.SQL("{} AS {}").format(kept, Identifier(column["name"])))
        return sql.SQL(
            "COPY (SELECT {} FROM {} h ORDER BY h.line)"
            " TO STDOUT (FORMAT csv, HEADER {}, ENCODING 'UTF8')"
        ).format(
            sql.SQL(", ").join(listed),
            self._versions(),
            sql.SQL("true" if header else "false"),
        )

    # Files.

    def _part(self, part: ArchivePart, rows: ArchiveRows, found: int, beat: Beat) -> None:
        written = self._written(part, rows, beat)
        old = part.file
        with transaction.atomic(using=self._using):
            archive = Archive.objects.select_for_update().get(pk=self._archive.pk)
            if archive.state != Archive.State.COMPLETE:
                self._drop(written.file)  # Its term was over meanwhile.
                return
            if by := _holders(self._tracked, self._using):
                self._drop(written.file)
                raise Vetoed(f"{archive.name} stays as it is: {', '.join(by)} protects rows of it.")
            self._note(archive, part, written, found)
        self._archive.refresh_from_db()
        self._drop(old)

    def _written(self, part: ArchivePart, rows: ArchiveRows, beat: Beat) -> WrittenPart:
        protection = Protection(tuple(self._archive.recipients), None)
        folder, number = self._archive.folder, f"{part.number:06d}"
        file = f"{folder}/part-{number}{_MARK}{self._run_id}{protection.suffix}"
        # Of an attempt that was killed before the database knew of it.
        self._drop(file)
        writer = PartWriter(
            self._store, file, deadline=time.monotonic() + SECONDS, protection=protection
        )
        try:
            copied = 0
            for number_, _ in enumerate(rows.read(sql.SQL("SELECT 1"), parts=[part], beat=beat)):
                with transaction.atomic(using=self._using):
                    settings = {**self._archive.layout["session"], "statement_timeout": "0"}
                    session_pin(self._using, settings)
                    copy = self._copy(header=number_ == 0)
                    copied += copy_out(copy, writer.write, using=self._using)
            assert copied == part.rows
            writer.end(
                {
                    "archive": self._archive.name,
                    "run": self._archive.run_id,
                    "number": part.number,
                    "rows": part.rows,
                    "table": [part.schema_name, part.table_name],
                    "window": part.window,
                    "layout": self._archive.layout,
                    "redacted": {"run": self._run_id, "former_sha256": part.sha256},
                }
            )
            return writer.durable()
        except BaseException:
            writer.give_up()
            raise

    def _note(self, archive: Archive, part: ArchivePart, written: WrittenPart, found: int) -> None:
        told = next((each for each in archive.redactions if each["run"] == self._run_id), None)
        if told is None:
            former = archive.manifest_sha256
            told = {"run": self._run_id, "former_manifest_sha256": former, "parts": []}
            archive.redactions.append(told)
        told["parts"].append(
            {
                "number": part.number,
                "rows": found,
                "former_sha256": part.sha256,
                "sha256": written.sha256,
            }
        )
        archive.bytes += written.bytes - part.bytes
        part.file, part.bytes = written.file, written.bytes
        part.plain_bytes, part.sha256 = written.plain_bytes, written.sha256
        part.save(update_fields=["file", "bytes", "plain_bytes", "sha256"])
        archive.save(update_fields=["bytes", "redactions"])

    def _sweep(self) -> None:
        """Old files of parts that were redacted, where somebody was killed before they went."""
        for part in self._archive.parts.all():
            if _MARK not in part.file:
                continue
            prefix = f"{self._archive.folder}/part-{part.number:06d}-"
            for file in list(self._store.list(prefix)):
                if file not in (part.file, f"{part.file}.json"):
                    self._store.delete(file)

    def _manifest(self) -> None:
        if not any(each["run"] == self._run_id for each in self._archive.redactions):
            return
        manifest = manifest_of(self._archive, self._archive.run)
        write_once(self._store, f"{self._archive.folder}/manifest.json", manifest)
        self._archive.manifest_sha256 = hashlib.sha256(manifest).hexdigest()
        self._archive.save(update_fields=["manifest_sha256"])

    def _drop(self, file: str) -> None:
        for name in (f"{file}.json", file):
            self._store.delete(name)
