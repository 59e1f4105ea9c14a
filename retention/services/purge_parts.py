"""The files that one step of a purge writes: durable together, or gone together."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from operations.catalogue.types import Table
from operations.runs.kinds import Beat, StepStalled
from operations.storage import storage
from retention.models import ArchivePart
from retention.services.archive_writing import ArchiveWriter, Part
from retention.services.part_writer import PartWriter

MOST_HANGING = 300.0
"""Seconds that a write which was given up may take to come back from the storage."""


@dataclass(frozen=True)
class OpenPart:
    """Takes the rows of one table."""

    writer: PartWriter
    archive: ArchiveWriter
    table: Table


class StepParts:
    """One attempt at a step. Files that no transaction made known are removed."""

    def __init__(self) -> None:
        self._attempt = 0
        self._writers: list[PartWriter] = []

    def begin(
        self, archive: ArchiveWriter, *, table: Table, number: int, fence: int, deadline: float
    ) -> OpenPart:
        """A part that must be durable at `deadline`, on `time.monotonic()`'s clock."""
        self._attempt += 1
        file = archive.file(number, fence, self._attempt)
        writer = PartWriter(storage(), file, deadline=deadline, protection=archive.protection)
        self._writers.append(writer)
        return OpenPart(writer, archive, table)

    def keep(self, parts: list[tuple[OpenPart, Part]]) -> None:
        """Waits until all are durable, then makes them known in the transaction under way.

        Raises:
            StepStalled, StorageError: one did not become durable in time.
        """
        begun = [each.archive.begun(each.table) for each, _ in parts]
        # All land at a time: a storage far away takes as long for all as for one.
        for (each, part), archive in zip(parts, begun, strict=True):
            each.writer.end(each.archive.facts(layout=archive.layout, part=part))
        for (each, part), archive in zip(parts, begun, strict=True):
            each.archive.add(each.writer, part, archive=archive)

    def durable(self, part: OpenPart, made: Part) -> dict[str, Any]:
        """Waits until it is durable; `ArchiveWriter.know` takes the answer later. Raises as `keep`.

        Until then the run's cursor keeps it from being reaped.
        """
        part.writer.end(part.archive.facts(layout=part.archive.layout_of(part.table), part=made))
        return part.archive.durable(part.writer, made)

    def drop(self, part: OpenPart) -> None:
        """It came to nothing: no row was deleted for it."""
        part.writer.give_up()

    # Around the step, as RunKind has it.

    def committed(self) -> None:
        self._writers = []

    def rolled_back(self) -> None:
        for writer in self._writers:
            writer.give_up()

    def lost(self, *, waiting: Collection[str] = ()) -> None:
        """
        Args:
            waiting: parts that the run's cursor has, asked before this.
        """
        known = ArchivePart.objects.filter(file__in=[each.file for each in self._writers])
        files = {*known.values_list("file", flat=True), *waiting}
        for writer in self._writers:
            if writer.file not in files:
                writer.give_up()
        give_up = time.monotonic() + MOST_HANGING
        while self._hanging and time.monotonic() < give_up:
            time.sleep(0.2)

    def recovered(self, beat: Beat) -> None:
        """Waits, holding nothing, until writes that hang have come back from the storage."""
        give_up = time.monotonic() + MOST_HANGING
        while self._hanging:
            if time.monotonic() > give_up:
                raise StepStalled("The storage has not answered for five minutes.")
            time.sleep(0.2)
            beat()
        self._writers = []

    @property
    def _hanging(self) -> bool:
        return any(writer.hanging for writer in self._writers)
