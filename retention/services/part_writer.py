"""Writes one part of an archive beside the reading of its rows: compress, encrypt, hash, keep.

The reader holds row locks while it waits, so it never waits longer than its deadline: storage that
hangs costs the step, not the application's writers. A part that lands after its step was given up
is removed by whoever comes last.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import zstandard

from operations.encryption import encrypt
from operations.runs.kinds import StepStalled
from operations.storage import Draft, Storage, StorageLocked, StorageUnreachable
from retention.services.protection import Protection

logger = logging.getLogger(__name__)

_QUEUED = 32
LEVEL = 3
# A thread of zstd's own: it never waits for the interpreter's lock, which the reader of rows wants
# too. A job is what is still to be compressed when the last row has come.
_COMPRESSION = zstandard.ZstdCompressionParameters.from_level(LEVEL, threads=1, job_size=4 << 20)


@dataclass(frozen=True)
class WrittenPart:
    """A durable file of the storage."""

    file: str
    bytes: int
    plain_bytes: int
    sha256: str


class PartWriter:
    """One attempt at one part. `deadline` is on `time.monotonic()`'s clock."""

    def __init__(
        self, storage: Storage, file: str, *, deadline: float, protection: Protection
    ) -> None:
        self.file, self.sidecar = file, f"{file}.json"
        self._storage, self._deadline, self._protection = storage, deadline, protection
        self.lock_until = protection.lock_until()
        self._queue: queue.Queue[bytearray | None] = queue.Queue(_QUEUED)
        self._facts: dict[str, Any] = {}
        self._written: WrittenPart | None = None
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._given_up = False
        self._landed = False
        self._thread = threading.Thread(target=self._work, name="part-writer", daemon=True)
        self._thread.start()

    def write(self, block: bytearray) -> None:
        """Takes the block over. Raises StepStalled past the deadline, or the storage's own error.

        A few hundred KiB at a time: every block waits once for the interpreter's lock.
        """
        self._put(block)

    def end(self, facts: dict[str, Any]) -> None:
        """There are no more rows: the part lands with its sidecar, which holds `facts`.

        Of several parts, end all before waiting for any. Raises what `durable` raises.
        """
        self._facts = facts
        self._put(None)

    def durable(self) -> WrittenPart:
        """Waits until the ended part and its sidecar are on disk under their names.

        Raises:
            StepStalled: the deadline passed first, or the storage does not answer.
            StorageError: the storage is full or broken.
        """
        self._thread.join(max(self._deadline - time.monotonic(), 0))
        self._raise_error()
        if self._written is None:
            raise self._stalled()
        return self._written

    def give_up(self) -> None:
        """Nothing of this part is to remain, now or when a hanging write comes back."""
        with self._lock:
            self._given_up = True
            landed = self._landed
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        if landed:
            self._remove()

    @property
    def hanging(self) -> bool:
        """A write that was given up has not come back from the storage yet."""
        return self._thread.is_alive()

    def _put(self, item: bytearray | None) -> None:
        while True:
            self._raise_error()
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise self._stalled()
            try:
                return self._queue.put(item, timeout=min(left, 0.1))
            except queue.Full:
                continue

    def _raise_error(self) -> None:
        if isinstance(self._error, StorageUnreachable):
            # It may answer in a moment.
            raise StepStalled(str(self._error)) from self._error
        if self._error is not None:
            raise self._error

    def _stalled(self) -> StepStalled:
        return StepStalled(
            f"the storage did not take {self.file} in time; nothing was deleted for it"
        )

    # In the thread.

    def _work(self) -> None:
        try:
            self._write_all()
        except Exception as error:
            # Raised again where the step waits for it.
            self._error = error

    def _write_all(self) -> None:
        with ExitStack() as drafts:
            data = self._storage.draft(self.file, lock_until=self.lock_until)
            drafts.callback(data.discard)
            sidecar = self._storage.draft(self.sidecar, lock_until=self.lock_until)
            drafts.callback(sidecar.discard)
            stored = _Stored(data)
            packed = _Packed(self._blocks())
            if self._protection.recipients:
                encrypt(packed, stored.write, self._protection.recipients)
            else:
                for piece in packed:
                    stored.write(piece)
            written = WrittenPart(
                self.file, stored.size, packed.plain_bytes, stored.digest.hexdigest()
            )
            sidecar.write(_sidecar(written, self._facts))
            if self._given_up:
                return
            self._storage.commit_all([data, sidecar])
            with self._lock:
                self._landed = True
                remove = self._given_up
            if remove:
                self._remove()
            else:
                self._written = written

    def _blocks(self) -> Iterator[bytearray]:
        """The rows, until there are no more. Raises StepStalled when the part was given up."""
        while (block := self._queue.get()) is not None and not self._given_up:
            yield block
        if self._given_up:
            raise self._stalled()

    def _remove(self) -> None:
        for file in (self.sidecar, self.file):
            try:
                self._storage.delete(file)
            except StorageLocked as error:
                # Its rows are still live, and go into another part. This one goes with the archive.
                logger.warning("A part that was given up stays: %s", error)


class _Packed:
    """The blocks, compressed."""

    def __init__(self, blocks: Iterator[bytearray]) -> None:
        self._blocks = blocks
        self.plain_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        compressor = zstandard.ZstdCompressor(compression_params=_COMPRESSION).compressobj()
        for block in self._blocks:
            self.plain_bytes += len(block)
            if packed := compressor.compress(block):
                yield packed
        yield compressor.flush()


class _Stored:
    """A draft that is hashed as it is written."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        self.digest.update(piece)
        self.size += len(piece)
        self._draft.write(piece)


def _sidecar(written: WrittenPart, facts: dict[str, Any]) -> bytes:
    """So that a part can be read although the database that knew of it is lost."""
    own = {
        "file": written.file,
        "bytes": written.bytes,
        "plain_bytes": written.plain_bytes,
        "sha256": written.sha256,
    }
    return (json.dumps({**own, **facts}, sort_keys=True, indent=1) + "\n").encode()
