"""The names in a storage: they lead nowhere else, are listed in order, and drafts stand apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.storage import StorageError
from operations.storage.folder import FolderStorage
from operations.storage.paths import check_path, draft_name, draft_target


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def folder(root: Path) -> FolderStorage:
    return FolderStorage(root)


ELSEWHERE = ["", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a//b", "a/"]
NO_NAMES = ["a\0b", "a\nb", ".hidden", "a/.part.7.tmp", "\ud800"]


@pytest.mark.parametrize("path", [*ELSEWHERE, *NO_NAMES])
def test_a_path_that_leads_elsewhere_is_refused(
    folder: FolderStorage, root: Path, path: str
) -> None:
    for act in (folder.draft, folder.open, folder.exists, folder.size, folder.delete):
        with pytest.raises(StorageError, match="no path in the storage"):
            act(path)
    assert not root.exists()


@given(st.text())
def test_whatever_path_is_accepted_stays_inside(path: str) -> None:
    try:
        check_path(path)
    except StorageError:
        return
    inside = os.path.normpath(f"/root/{path}")
    assert inside == f"/root/{path}"
    assert draft_target(draft_name(path, "7")) == path


@pytest.mark.parametrize("tag", ["a/b", "a.b", "..", " ", "ü"])
def test_a_tag_is_one_plain_word(folder: FolderStorage, tag: str) -> None:
    with pytest.raises(StorageError, match="cannot mark a draft"):
        folder.draft("part", tag=tag)


def test_lists_are_sorted_and_recursive_and_keep_drafts_apart(
    folder: FolderStorage, root: Path
) -> None:
    paths = ["a/1", "a/10/x", "a/2", "a.txt", "b", "a/1-b/y", "ab/c", "ä/ö"]
    for path in paths:
        folder.draft(path).commit()
    folder.draft("a/3", tag="t1")
    folder.draft("a/30/z", tag="t2")
    (root / ".snapshot").mkdir()
    (root / ".snapshot/old").touch()
    (root / "a/.DS_Store").touch()
    assert list(folder.list("")) == sorted(paths)
    assert list(folder.list("a/")) == sorted(p for p in paths if p.startswith("a/"))
    assert list(folder.list("a/1")) == ["a/1", "a/1-b/y", "a/10/x"]
    assert list(folder.list("a/10/")) == ["a/10/x"]
    assert list(folder.list("nothing/here/")) == []
    assert list(folder.list_drafts("")) == ["a/.3.t1.tmp", "a/30/.z.t2.tmp"]
    assert list(folder.list_drafts("a/3")) == ["a/.3.t1.tmp", "a/30/.z.t2.tmp"]
    assert list(folder.list_drafts("a/30/")) == ["a/30/.z.t2.tmp"]
    with pytest.raises(StorageError, match="no path in the storage"):
        list(folder.list("../"))
