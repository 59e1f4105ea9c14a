"""Small files that several tries write with the same content."""

from __future__ import annotations

from datetime import datetime

from operations.storage.protocol import Storage


def write_once(
    store: Storage, path: str, content: bytes, *, lock_until: datetime | None = None
) -> None:
    """The one before us was killed, or is stopped and comes back: it writes the same bytes.

    Raises:
        StorageError: it could not be written, or not be locked.
    """
    if store.exists(path):
        with store.open(path) as file:
            same = file.read() == content
        if same:
            if lock_until is not None:
                store.lock(path, lock_until)
            return
        store.delete(path)
    draft = store.draft(path, lock_until=lock_until)
    try:
        draft.write(content)
        draft.commit()
    finally:
        draft.discard()
