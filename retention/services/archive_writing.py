"""The folder of one purge's archive, and its parts as the database knows them."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from operations.catalogue.types import Table, TableName
from operations.models import Run
from operations.storage import Storage, StorageLocked
from retention.models import Archive, ArchivePart
from retention.selectors.softdelete_graph import Enabled
from retention.selectors.softdelete_marks import MARKS
from retention.services.layout import layout
from retention.services.part_writer import PartWriter
from retention.services.protection import Protection, protection_of

logger = logging.getLogger(__name__)


def archive_name(run: Run) -> str:
    """Unique, and safe as the name of a folder whatever the policy is called.

    Also when the database was restored and counts its runs from an earlier number again: the plan's
    hash tells the run from one that it no longer knows, whose folder is not ours to clear.
    """
    stem = _plain(run.parameters["policy_name"])[:80] or "policy"
    return f"{stem}-{run.created_at:%Y%m%d}-{run.pk}-{run.plan_hash[:6]}"


def archive_names(run: Run) -> dict[TableName, str]:
    """The names of all the archives that the run may write: the policy's own table first."""
    own = archive_name(run)
    root = TableName(*run.parameters["table"])
    names = {root: own}
    for number, each in enumerate(run.parameters.get("dependents", []), start=1):
        name = f"{own}-{_plain(each[1])[:40]}"
        # Two schemas may have tables of one name.
        names.setdefault(TableName(*each), f"{name}-{number}" if name in names.values() else name)
    return names


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


@dataclass(frozen=True)
class Part:
    """What is known of a part but its bytes."""

    number: int
    leaf: TableName
    """Where the rows were; of several partitions the table that they belong to."""
    rows: int
    window: dict[str, Any]


class ArchiveWriter:
    """Adds parts to the archive of one table that one run wrote."""

    def __init__(
        self, run: Run, *, of: TableName | None = None, root: ArchiveWriter | None = None
    ) -> None:
        """Without `of`, the policy's own table; with it one that went along, beside `root`."""
        self._run = run
        self._root = root
        self._marked: bool | None = None
        names = archive_names(run)
        self.name = names[of] if of is not None else archive_name(run)
        self.folder = f"archives/{self.name}"

    @cached_property
    def protection(self) -> Protection:
        """Asked when the first file is written: a run can be cancelled whatever the settings say.

        Raises RecipientUnusable.
        """
        return protection_of(self._run) if self._root is None else self._root.protection

    def file(self, number: int, fence: int, attempt: int) -> str:
        """A name that no other attempt of any worker has."""
        return f"{self.folder}/part-{number:06d}-{fence}.{attempt}{self.protection.suffix}"

    def begun(self, table: Table) -> Archive:
        """The archive as the database knows it, from now on."""
        root = self._root.begun_root() if self._root is not None else None
        archive, _ = Archive.objects.get_or_create(
            run_id=self._run.pk,
            schema_name=table.name.schema,
            table_name=table.name.name,
            defaults={
                "name": self.name,
                "root": root,
                "policy_id": self._run.parameters["policy"],
                "policy_version": self._run.parameters["policy_version"],
                "folder": self.folder,
                "layout": self.layout_of(table),
                "recipients": list(self.protection.recipients),
                "locked_until": self.protection.lock_until(),
            },
        )
        return archive

    def begun_root(self) -> Archive:
        """The policy's own archive, which is begun before any of those beside it."""
        return Archive.objects.get(run_id=self._run.pk, name=self.name)

    def layout_of(self, table: Table) -> dict[str, Any]:
        """What a reader of its parts has to know, as JSON."""
        return {**layout(table), **self._marks(table), **self.protection.layout()}

    def _marks(self, table: Table) -> dict[str, Any]:
        """Columns of no meaning to who restores the rows: the bin that they were in is gone."""
        if self._marked is None:
            self._marked = Enabled(using=self._run.database).of(table) is not None
        return {"marks": list(MARKS)} if self._marked else {}

    def facts(self, *, layout: dict[str, Any], part: Part) -> dict[str, Any]:
        """What a part's sidecar says of it."""
        return {
            "archive": self.name,
            "run": self._run.pk,
            "number": part.number,
            "rows": part.rows,
            "table": [part.leaf.schema, part.leaf.name],
            "window": part.window,
            "layout": layout,
        }

    def add(self, writer: PartWriter, part: Part, *, archive: Archive) -> None:
        """Waits until the part is durable, then makes it known in the transaction under way.

        Raises StepStalled or StorageError when it did not become durable in time.
        """
        ArchivePart.objects.create(archive=archive, **self.durable(writer, part))

    def durable(self, writer: PartWriter, part: Part) -> dict[str, Any]:
        """Waits until the part is durable. The answer is JSON, for `know`. Raises as `add`."""
        written = writer.durable()
        return {
            "number": part.number,
            "schema_name": part.leaf.schema,
            "table_name": part.leaf.name,
            "file": written.file,
            "rows": part.rows,
            "bytes": written.bytes,
            "plain_bytes": written.plain_bytes,
            "sha256": written.sha256,
            "window": part.window,
        }

    def know(self, parts: Sequence[dict[str, Any]], *, table: Table) -> None:
        """Makes durable parts known in the transaction under way, which removes their rows."""
        archive = self.begun(table)
        ArchivePart.objects.bulk_create(ArchivePart(archive=archive, **part) for part in parts)

    def reap(self, storage: Storage, *, waiting: Collection[str] = ()) -> None:
        """Removes what a killed attempt left. Only under the run's lock, while it is unfinished.

        Args:
            waiting: durable parts that the database is to know later.
        """
        # With the slash: a prefix alone is also that of another run's folder.
        folder = f"{self.folder}/"
        for draft in storage.list_drafts(folder):
            storage.delete_draft(draft)
        known = set(
            ArchivePart.objects.filter(archive__run_id=self._run.pk).values_list("file", flat=True)
        ).union(waiting)
        for file in storage.list(folder):
            if file.removesuffix(".json") not in known:
                try:
                    storage.delete(file)
                except StorageLocked as error:
                    # Its rows are live, or in the part that was written after it. It goes when the
                    # archive goes.
                    logger.warning("What a killed attempt left stays: %s", error)
