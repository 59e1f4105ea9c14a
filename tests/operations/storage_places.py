"""The same storage in a folder and in S3, for tests of what both promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from operations.storage import Storage
from operations.storage.folder import FolderStorage
from operations.storage.s3 import S3Storage
from operations.storage.s3_place import S3Place
from tests.s3_server import S3Server

KINDS = ["folder", "s3", "s3 with versions"]


@dataclass(frozen=True)
class Place:
    store: Storage
    everything: Callable[[], set[str]]
    """Every name there is, drafts included, as the disk or the server has them."""

    def put(self, path: str, content: bytes = b"content") -> None:
        draft = self.store.draft(path)
        draft.write(content)
        draft.commit()

    def read(self, path: str) -> bytes:
        with self.store.open(path) as file:
            return file.read()


def make_place(kind: str, tmp_path: Path, server: Callable[[], S3Server]) -> Place:
    if kind == "folder":
        root = tmp_path / "storage"
        return Place(FolderStorage(root), lambda: files_below(root))
    s3 = server()
    bucket = s3.bucket(versions=kind == "s3 with versions")
    return Place(S3Storage(S3Place.at(s3.address(bucket)), None), lambda: s3.keys(bucket))


def files_below(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
