"""Encrypting and decrypting piece by piece: what is stored may be larger than the memory.

pyrage pulls from a reader and pushes to a writer. Of an error of theirs it keeps at times the text
alone, so each is kept here and raised as it was.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

import pyrage

from operations.encryption.keys import Identity
from operations.exceptions import CustodyError

_AHEAD = 8
"""Pieces of 64 KiB at most that are decrypted before somebody takes them."""


class CiphertextUnusable(CustodyError):
    """It cannot be decrypted: damaged, cut short, or encrypted to somebody else."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Reading:
    """Blocks as a file that can be read."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """`size` bytes at most, fewer at will; none at the end. All that is left without a size."""
        if size < 0:
            rest, self._rest = bytes(self._rest), memoryview(b"")
            return rest + b"".join(self._blocks)
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = memoryview(block)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


def encrypt(
    blocks: Iterable[bytes], write: Callable[[bytes], object], recipients: Sequence[str]
) -> None:
    """Takes the blocks to their end; `write` is given what is to be stored, 64 KiB at a time.

    Raises whatever `blocks` and `write` raise.
    """
    keys = [pyrage.x25519.Recipient.from_str(each) for each in recipients]
    source, sink = _Source(Reading(blocks)), _Sink(write)
    try:
        pyrage.encrypt_io(source, sink, keys)
    except Exception as error:
        raise source.error or sink.error or error from None


def decrypted(file: _Readable, identities: Sequence[Identity]) -> Generator[bytes, None, None]:
    """What the file holds, in pieces of 64 KiB at most, each of them authentic when it comes.

    The file is read by a thread of its own until the iterator ends or is closed.

    Raises:
        CiphertextUnusable: at the first piece that is not what was encrypted, or at the beginning.
    """
    found: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()
    errors: list[BaseException] = []

    def put(piece: bytes) -> None:
        found.put(bytes(piece))
        if stopped.is_set():
            raise _Stopped

    def work() -> None:
        source, sink = _Source(file), _Sink(put)
        try:
            pyrage.decrypt_io(source, sink, [each.key for each in identities])
        except Exception as error:
            errors.append(source.error or sink.error or CiphertextUnusable(_told(error)))
        finally:
            found.put(None)

    thread = threading.Thread(target=work, name="age-reader", daemon=True)
    thread.start()
    try:
        while (piece := found.get()) is not None:
            yield piece
        if errors:
            raise errors[0]
    finally:
        stopped.set()
        while thread.is_alive():
            # Makes room for what it still has to put, so that it comes to its end.
            with suppress(queue.Empty):
                found.get_nowait()
            thread.join(0.01)


def _told(error: Exception) -> str:
    why = str(error).rstrip(".")
    if why == "No matching keys found":
        return "no identity here opens it, or its beginning is damaged"
    return f"it is damaged or cut short ({why})"


class _Stopped(Exception):
    """Nobody wants the rest."""


class _Source:
    def __init__(self, file: _Readable) -> None:
        self._file = file
        self.error: BaseException | None = None

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except BaseException as error:
            self.error = error
            raise


class _Sink:
    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.error: BaseException | None = None

    def write(self, data: bytes, /) -> int:
        try:
            self._write(data)
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Whoever gave `write` flushes."""
