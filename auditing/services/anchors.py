"""Anchors: what the last block was, told outside the database, so that nobody can rewind it.

A line for each pass goes to a file in CUSTODY_ANCHORS, flushed to the disk; once an hour one goes
to the storage too, locked there where it locks. A block is in the database before its anchor is
anywhere: a machine that dies in between owes an anchor, and no anchor owes a block.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Literal

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from auditing.exceptions import AnchorUnusable, Rewound
from auditing.models import SealBlock, SealPosition
from auditing.seals.headers import Anchor
from operations import keys
from operations.storage import lock_wanted, storage, write_once

LOCKED_EVERY = timedelta(hours=1)
LOCKED_FOR = timedelta(days=3650)
FOLDER = "anchors"
"""In the storage."""
_TAIL = 8192
"""Bytes in which the last line is looked for; a reason has 2,000 letters at most."""


@dataclass(frozen=True)
class SignedAnchor:
    anchor: Anchor
    signature: str
    """Ed25519 over `anchor.signed`, base64."""
    where: str
    """The file and the line, or the path in the storage."""


def anchors_file(chain: object) -> Path:
    return Path(settings.CUSTODY_ANCHORS) / f"{chain}.jsonl"


def anchors(chain: object) -> Iterator[SignedAnchor]:
    """The lines of the file, oldest first; nothing when there is none.

    The end of a line that a dying machine began is left out: its block is anchored again.
    Raises AnchorUnusable.
    """
    path = anchors_file(chain)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield anchor_read(line, f"{path}, line {number}")
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(path, error) from error


def anchors_stored(chain: object) -> Iterator[SignedAnchor]:
    """Those in the storage, oldest first. Raises AnchorUnusable, StorageError."""
    place = storage()
    for path in place.list(f"{FOLDER}/{chain}/"):
        with place.open(path) as file:
            yield anchor_read(file.read(), path)


def anchors_elsewhere(chain: object) -> Iterator[SignedAnchor]:
    """The last one of each other chain in the folder. Raises AnchorUnusable."""
    own = anchors_file(chain)
    try:
        others = sorted(path for path in own.parent.glob("*.jsonl") if path != own)
    except OSError as error:
        raise _unreadable(own.parent, error) from error
    for path in others:
        last = anchor_last(path.stem)
        if last is not None:
            yield last


def anchor_read(line: bytes, where: str) -> SignedAnchor:
    """Raises AnchorUnusable: it is none."""
    try:
        found = json.loads(line)
        return SignedAnchor(Anchor(**found["anchor"]), str(found["signature"]), where)
    except (ValueError, TypeError, KeyError) as error:
        raise AnchorUnusable(f"{where} is no anchor ({error}): it was changed.") from error


def anchor_last(chain: object) -> SignedAnchor | None:
    """The last whole line of the file. Raises AnchorUnusable."""
    path = anchors_file(chain)
    try:
        with path.open("rb") as file:
            lines = _tail(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return anchor_read(lines[-1], f"{path}, last line") if lines else None


def _unreadable(path: Path, error: OSError) -> AnchorUnusable:
    return AnchorUnusable(
        f"The anchors in {path} cannot be read: {error.strerror or error}. Let the console's user "
        "read them, or point CUSTODY_ANCHORS at the folder that they are in."
    )


def _tail(file: BinaryIO) -> list[bytes]:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
    return file.read().split(b"\n")[:-1]


def rewind_check(position: SealPosition) -> None:
    """That the database still has what was anchored last. Raises Rewound, AnchorUnusable."""
    last = anchor_last(position.chain)
    if last is None:
        return
    anchor = last.anchor
    block = SealBlock.objects.filter(pk=anchor.number).first()
    if anchor.number and (block is None or block.hash != anchor.hash):
        newest = SealBlock.objects.order_by("number").last()
        raise Rewound(
            f"Block {anchor.number} was anchored at {anchor.at} ({last.where}), and the database "
            + (
                f"ends with block {newest.number if newest else 0}: it was rewound."
                if block is None
                else "has another block of that number: it was rewound, and went another way."
            )
            + " Was it restored on purpose? Then say so: "
            "manage.py audit_seal --accept-rewind --reason TEXT. Nothing is sealed before."
        )


def anchor_write(block: SealBlock, position: SealPosition) -> None:
    """Tells of the block outside; in the storage too, when it is time.

    Raises:
        AnchorUnusable: the file cannot be written; the next pass tries again.
        StorageError: likewise the storage.
    """
    document = _signed("block", position, block.number, block.hash)
    _append(position.chain, block.number, document)
    now = timezone.now()
    if position.anchored_at is None or now - position.anchored_at >= LOCKED_EVERY:
        path = f"{FOLDER}/{position.chain}/{block.number:012}.json"
        until = now + LOCKED_FOR if lock_wanted() else None
        write_once(storage(), path, document, lock_until=until)
        SealPosition.objects.filter(pk=position.pk).update(anchored=block.number, anchored_at=now)


def rewind_accept(*, actor: User, reason: str) -> Anchor | None:
    """Says that the database was put back on purpose: from here on the log goes on.

    None when it stands where it was anchored. Raises AnchorUnusable.
    """
    position = SealPosition.objects.first()
    if position is None:
        return None
    try:
        rewind_check(position)
    except Rewound:
        block = SealBlock.objects.order_by("number").last()
        number, hash_ = (block.number, block.hash) if block else (0, "")
        by = f"console:{actor.get_username()}"
        document = _signed("rewound", position, number, hash_, by=by, reason=reason[:2000])
        _append(position.chain, None, document)
        return anchor_read(document, "").anchor
    return None


def _signed(  # noqa: PLR0917
    kind: Literal["block", "rewound"],
    position: SealPosition,
    number: int,
    hash_: str,
    by: str = "",
    reason: str = "",
) -> bytes:
    """One line, its end included."""
    signer = keys.signer()
    anchor = Anchor(
        kind,
        str(position.chain),
        number,
        hash_,
        datetime.now(UTC).isoformat(timespec="seconds"),
        signer.key_id,
        by,
        reason,
    )
    signature = signer.sign(anchor.signed).signature_b64
    document = {"anchor": asdict(anchor), "signature": signature}
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def _append(chain: object, number: int | None, line: bytes) -> None:
    path = anchors_file(chain)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("ab+") as file, _alone(file):
            whole = _tail(file)
            if number is not None and whole:
                last = anchor_read(whole[-1], f"{path}, last line").anchor
                if last.kind == "block" and last.number >= number:
                    return
            end = _end(file)
            file.truncate(end)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AnchorUnusable(
            f"The anchor could not be written to {path}: {error.strerror or error}. Make room "
            "there, let the console write, or point CUSTODY_ANCHORS elsewhere."
        ) from error


def _end(file: BinaryIO) -> int:
    """Of the last whole line: a machine that died may have begun another."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    return size - len(file.read().rpartition(b"\n")[2])


@contextmanager
def _alone(file: BinaryIO) -> Iterator[None]:
    fcntl.flock(file.fileno(), fcntl.LOCK_EX)
    yield
