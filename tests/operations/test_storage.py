"""The storage: whole files or none, durable, never overwritten, errors that say what to do."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from operations.storage import StorageError, StorageExists, StorageFull, StorageMissing, storage
from operations.storage.folder import FolderStorage
from operations.storage.paths import draft_target
from tests.operations.storage_child import CONTENT, PATHS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def folder(root: Path) -> FolderStorage:
    return FolderStorage(root)


def put(folder: FolderStorage, path: str, content: bytes = b"content") -> None:
    draft = folder.draft(path)
    draft.write(content)
    draft.commit()


def read(folder: FolderStorage, path: str) -> bytes:
    with folder.open(path) as file:
        return file.read()


def everything(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def test_a_file_has_its_name_only_once_it_is_committed(folder: FolderStorage, root: Path) -> None:
    draft = folder.draft("archives/7/part-1.zst", tag="3")
    draft.write(b"one ")
    draft.write(b"two")
    assert not folder.exists("archives/7/part-1.zst")
    assert everything(root) == {"archives/7/.part-1.zst.3.tmp"}
    draft.commit()
    draft.commit()
    draft.discard()
    assert read(folder, "archives/7/part-1.zst") == b"one two"
    assert folder.size("archives/7/part-1.zst") == draft.size == 7
    assert everything(root) == {"archives/7/part-1.zst"}


def test_only_the_owner_may_read_what_is_stored(folder: FolderStorage, root: Path) -> None:
    before = os.umask(0)
    try:
        put(folder, "a/b/c")
    finally:
        os.umask(before)
    for path in (root, root / "a", root / "a/b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "a/b/c").stat().st_mode) == 0o600


def test_two_attempts_with_one_tag_do_not_write_the_same_draft(folder: FolderStorage) -> None:
    folder.draft("part", tag="7")
    with pytest.raises(StorageExists, match=r"\.part\.7\.tmp"):
        folder.draft("part", tag="7")
    folder.draft("part", tag="8")
    folder.draft("part")
    folder.draft("part")


def test_content_is_durable_before_the_name_and_the_name_before_commit_returns(
    folder: FolderStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "a/before")
    seen: list[str] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content"
        seen.append(f"flush {kind}")
        real_fsync(descriptor)

    def link(*args: Any, **kwargs: Any) -> None:
        seen.append("name")
        real_link(*args, **kwargs)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    put(folder, "a/one")
    assert seen == ["flush content", "name", "flush folder"]
    seen.clear()
    folder.commit_all([folder.draft("a/two"), folder.draft("a/three")])
    assert seen == ["flush content", "flush content", "name", "name", "flush folder"]
    seen.clear()
    folder.delete("a/one")
    assert seen == ["flush folder"]
    seen.clear()
    folder.delete("a/one")
    assert seen == ["flush folder"], "whoever removed it may have been killed before the flush"


def test_killed_before_any_call_it_leaves_whole_files_or_drafts(tmp_path: Path) -> None:
    deadly, finished = 0, False
    while not finished:
        deadly += 1
        root = tmp_path / str(deadly)
        child = subprocess.run(
            [sys.executable, "-m", "tests.operations.storage_child", str(root), str(deadly)],
            capture_output=True,
            text=True,
            check=False,
        )
        finished = child.returncode == 0
        assert finished or child.returncode == -signal.SIGKILL, child.stderr
        folder = FolderStorage(root)
        names = list(folder.list(""))
        assert set(names) <= set(PATHS)
        assert [read(folder, name) for name in names] == [CONTENT] * len(names)
        drafts = list(folder.list_drafts("archives/7/part-1"))
        assert {draft_target(draft) for draft in drafts} <= set(PATHS)
        assert everything(root) == {*names, *drafts}
        for draft in drafts:
            folder.delete_draft(draft)
        for name in set(PATHS) - set(names):
            put(folder, name, CONTENT)
        assert everything(root) == set(PATHS)
    assert deadly > 12


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_the_half_written_file_never_committed(
    folder: FolderStorage, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    draft = folder.draft("part")
    real_write = os.write
    with monkeypatch.context() as patch:

        def write(descriptor: int, data: Any) -> int:
            # As a disk fills: some of the bytes, then none.
            if len(data) < 5:
                raise OSError(code, os.strerror(code))
            return real_write(descriptor, bytes(data)[:5])

        patch.setattr(os, "write", write)
        with pytest.raises(StorageFull, match=r"Free some space.*try again\.$") as caught:
            draft.write(b"twelve bytes")
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError, match="begin a new one"):
        draft.commit()
    draft.discard()
    assert everything(root) == set()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_flush_that_fails_once_is_not_tried_again(
    folder: FolderStorage, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    draft = folder.draft("part")
    draft.write(b"content")

    def fsync(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError, match=os.strerror(code)):
            draft.commit()
    with pytest.raises(StorageError, match="begin a new one"):
        draft.commit()
    draft.discard()
    assert everything(root) == set()


def test_a_name_that_did_not_become_durable_is_taken_back(
    folder: FolderStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "a/before")
    draft = folder.draft("a/part")
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real_fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError, match="Check the disk"):
            draft.commit()
    assert not folder.exists("a/part")
    draft.discard()
    assert everything(root) == {"a/before"}


def test_a_limit_on_the_size_of_files_is_told_like_a_full_disk(
    folder: FolderStorage, root: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    draft = folder.draft("part")
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        with pytest.raises(StorageFull, match="ulimit -f"):
            draft.write(b"x" * 128 * 1024)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    draft.discard()
    assert everything(root) == set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full_goes_on_once_there_is_room(small_disk: Path) -> None:
    folder = FolderStorage(small_disk / "storage")
    put(folder, "old", b"x" * 700_000)
    draft = folder.draft("new")
    with pytest.raises(StorageFull):
        draft.write(b"y" * 700_000)
    draft.discard()
    assert everything(small_disk / "storage") == {"old"}
    folder.probe()
    folder.delete("old")
    put(folder, "new", b"y" * 700_000)
    assert folder.size("new") == 700_000


def test_an_empty_storage_lists_nothing_and_is_not_made_by_looking(
    folder: FolderStorage, root: Path
) -> None:
    assert list(folder.list("")) == list(folder.list_drafts("")) == []
    assert not folder.exists("a/b")
    folder.delete("a/b")
    folder.delete_draft("a/.b.7.tmp")
    assert not root.exists()


def test_a_missing_file_says_so(folder: FolderStorage) -> None:
    for act in (folder.open, folder.size):
        with pytest.raises(StorageMissing, match="put it back"):
            act("archives/7/part")
    put(folder, "a")
    assert not folder.exists("a/b")
    with pytest.raises(StorageError, match="Not a directory"):
        folder.draft("a/b")


def test_a_place_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = FolderStorage(tmp_path / "file")
    for act in (folder.probe, lambda: folder.draft("a")):
        with pytest.raises(StorageError, match=str(tmp_path)) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_reading_fails_in_words(
    folder: FolderStorage, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    put(folder, "a")
    with folder.open("a") as file:
        # A descriptor that cannot be read stands for a disk that fails in the middle of a file.
        other = os.open(root / "a", os.O_WRONLY)
        os.dup2(other, file.fileno())
        os.close(other)
        with pytest.raises(StorageError, match="Cannot read"):
            file.read()
        with pytest.raises(StorageError, match="Cannot read"):
            file.read(1)


def test_file_systems_without_links_are_served_as_well(
    folder: FolderStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", link)
    early = folder.draft("a")
    put(folder, "a", b"first")
    with pytest.raises(StorageExists):
        early.commit()
    early.discard()
    assert read(folder, "a") == b"first"
    assert everything(root) == {"a"}


def test_the_settings_name_the_storage(settings: Settings, tmp_path: Path) -> None:
    settings.CUSTODY_STORAGE = tmp_path / "one"
    assert storage().location("a/b") == str(tmp_path / "one/a/b")
    assert storage() is storage()
    settings.CUSTODY_STORAGE = tmp_path / "two"
    assert storage().location("") == str(tmp_path / "two")
