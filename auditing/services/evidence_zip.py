"""A zip that is written as a stream: members one after the other, their SHA-256 noted down."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any, Protocol, Self, cast

from operations.storage.protocol import Draft

_PIECE = 1 << 20


class Sink(Protocol):
    """One member that is being written."""

    lines: int

    def write(self, data: bytes) -> None: ...

    def line(self, document: dict[str, Any]) -> None: ...


class _Sink:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.lines = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)

    def line(self, document: dict[str, Any]) -> None:
        """One JSON document; what is not UTF-8 stays readable by Python's surrogateescape."""
        self.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")
        self.lines += 1

    @property
    def facts(self) -> dict[str, Any]:
        return {"sha256": self._digest.hexdigest(), "bytes": self.bytes}


class EvidenceZip:
    """Writes into a draft of the storage, which cannot be read or sought in."""

    def __init__(self, draft: Draft, made_at: datetime) -> None:
        self._stream = _Stream(draft)
        self._zip = zipfile.ZipFile(cast("IO[bytes]", self._stream), "w", zipfile.ZIP_DEFLATED)
        self._date = made_at.timetuple()[:6]
        self.members: dict[str, dict[str, Any]] = {}
        """SHA-256 and size of each member so far."""

    @contextmanager
    def member(self, name: str) -> Iterator[Sink]:
        """Opens a member; the one before must have ended."""
        info = zipfile.ZipInfo(name, self._date)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w", force_zip64=True) as file:
            sink = _Sink(file)
            yield sink
        self.members[name] = sink.facts

    def add(self, name: str, content: bytes | Iterable[bytes]) -> None:
        with self.member(name) as sink:
            for piece in [content] if isinstance(content, bytes) else content:
                sink.write(piece)

    def add_file(self, name: str, file: IO[bytes]) -> None:
        file.seek(0)
        self.add(name, iter(lambda: file.read(_PIECE), b""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            # What a zip does when it is thrown away would write into a draft that is gone.
            self._stream.given_up = True

    def close(self) -> str:
        """Ends the zip; returns the SHA-256 of all of it."""
        self._zip.close()
        return self._stream.digest.hexdigest()


class _Stream:
    """What zipfile needs of a file that it cannot seek in."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.digest = hashlib.sha256()
        self.given_up = False

    def write(self, data: bytes) -> int:
        if self.given_up:
            return len(data)
        self.digest.update(data)
        return self._draft.write(bytes(data))

    def flush(self) -> None:
        """The draft is made durable when it is committed."""
