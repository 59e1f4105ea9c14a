"""The names of files and of their drafts."""

from __future__ import annotations

import re
import unicodedata

from operations.storage.errors import StorageError

_TAG = re.compile(r"[A-Za-z0-9_-]+")
_DRAFT = re.compile(r"\.(?P<name>.+)\.(?P<tag>[A-Za-z0-9_-]+)\.tmp")


def check_path(path: str) -> str:
    """`path` itself when it is a relative path of plain names; raises StorageError otherwise."""
    _check_parts(path, path.split("/"))
    return path


def is_path(path: str) -> bool:
    """Whether a file of ours can have this path: a bucket may hold other things too."""
    try:
        check_path(path)
    except StorageError:
        return False
    return True


def check_prefix(prefix: str) -> str:
    """Like `check_path` for the beginning of a path: it may be empty or end inside a name."""
    *folders, last = prefix.split("/")
    _check_parts(prefix, [*folders, last] if last else folders)
    return prefix


def draft_name(path: str, tag: str) -> str:
    """The name of a draft: hidden, in the folder of its file, which one rename can give it."""
    if not _TAG.fullmatch(tag):
        raise StorageError(f"{tag!r} cannot mark a draft: use letters, digits, - and _ only.")
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.{name}.{tag}.tmp"


def draft_target(name: str) -> str | None:
    """The path that the draft `name` was to have; None when the name is not a draft's."""
    folder, slash, last = name.rpartition("/")
    match = _DRAFT.fullmatch(last)
    return f"{folder}{slash}{match['name']}" if match else None


def _check_parts(path: str, parts: list[str]) -> None:
    for part in parts:
        # A leading dot covers `.` and `..` and keeps hidden names for drafts.
        if not part or part.startswith(".") or any(map(_is_control, part)):
            raise StorageError(
                f"{path!r} is no path in the storage: it must be relative, its parts joined by /, "
                "none of them empty, hidden (beginning with a dot) or with control characters."
            )


def _is_control(character: str) -> bool:
    # Lone surrogates (Cs) have no form in UTF-8 that another system would read back.
    return unicodedata.category(character) in ("Cc", "Cs")
