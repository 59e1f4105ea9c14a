"""The folder of one purge's archive, and its parts as the database knows them."""

from __future__ import annotations

import logging
import re
from functools import cached_property
from typing import Any

from operations.batches.walk import Window
from operations.catalogue.types import Table
from operations.models import Run
from operations.storage import Storage, StorageLocked
from retention.models import Archive, ArchivePart
from retention.services.layout import layout
from retention.services.part_writer import PartWriter
from retention.services.protection import Protection, protection_of

logger = logging.getLogger(__name__)


def archive_name(run: Run) -> str:
    """Unique, and safe as the name of a folder whatever the policy is called.

    Also when the database was restored and counts its runs from an earlier number again: the plan's
    hash tells the run from one that it no longer knows, whose folder is not ours to clear.
    """
    stem = re.sub(r"[^a-z0-9_]+", "-", run.parameters["policy_name"].lower()).strip("-")
    return f"{stem[:80] or 'policy'}-{run.created_at:%Y%m%d}-{run.pk}-{run.plan_hash[:6]}"


class ArchiveWriter:
    """Adds parts to the archive of one run."""

    def __init__(self, run: Run) -> None:
        self._run_id = run.pk
        self._parameters: dict[str, Any] = run.parameters
        self.name = archive_name(run)
        self.folder = f"archives/{self.name}"
        self._run = run

    @cached_property
    def protection(self) -> Protection:
        """Asked when the first file is written: a run can be cancelled whatever the settings say.

        Raises RecipientUnusable.
        """
        return protection_of(self._run)

    def file(self, number: int, fence: int, attempt: int) -> str:
        """A name that no other attempt of any worker has."""
        return f"{self.folder}/part-{number:06d}-{fence}.{attempt}{self.protection.suffix}"

    def add(
        self, writer: PartWriter, *, table: Table, number: int, window: Window, rows: int
    ) -> None:
        """Waits until the part is durable, then makes it known in the transaction under way.

        Raises StepStalled or StorageError when it did not become durable in time.
        """
        archive, _ = Archive.objects.get_or_create(
            run_id=self._run_id,
            defaults={
                "name": self.name,
                "policy_id": self._parameters["policy"],
                "policy_version": self._parameters["policy_version"],
                "schema_name": table.name.schema,
                "table_name": table.name.name,
                "folder": self.folder,
                "layout": {**layout(table), **self.protection.layout()},
                "recipients": list(self.protection.recipients),
                "locked_until": writer.lock_until,
            },
        )
        leaf = window.leaf
        facts = {
            "archive": self.name,
            "run": self._run_id,
            "number": number,
            "rows": rows,
            "table": [leaf.schema, leaf.name],
            "window": window.to_json(),
            "layout": archive.layout,
        }
        part = writer.durable(facts)
        ArchivePart.objects.create(
            archive=archive,
            number=number,
            schema_name=leaf.schema,
            table_name=leaf.name,
            file=part.file,
            rows=rows,
            bytes=part.bytes,
            plain_bytes=part.plain_bytes,
            sha256=part.sha256,
            window=window.to_json(),
        )

    def reap(self, storage: Storage) -> None:
        """Removes what a killed attempt left. Only under the run's lock, while it is unfinished."""
        # With the slash: a prefix alone is also that of another run's folder.
        folder = f"{self.folder}/"
        for draft in storage.list_drafts(folder):
            storage.delete_draft(draft)
        known = set(
            ArchivePart.objects.filter(archive__run_id=self._run_id).values_list("file", flat=True)
        )
        for file in storage.list(folder):
            if file.removesuffix(".json") not in known:
                try:
                    storage.delete(file)
                except StorageLocked as error:
                    # Its rows are live, or in the part that was written after it. It goes when the
                    # archive goes.
                    logger.warning("What a killed attempt left stays: %s", error)
