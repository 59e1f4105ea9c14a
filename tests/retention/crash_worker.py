"""Forks one purging worker for each line it is told; the workers are there to be killed.

Started by `crash.Nursery`: forking is a hundred times cheaper than starting Python and Django. A
line is JSON: the policy, the storage and keys, the lease, the size of a batch, and a point of the
program at which the worker tells that it is there and then hangs, stops or fails. The points are
patched in here, so the program itself knows nothing of them. The answer is the worker's pid.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402

from operations.services import run_lease  # noqa: E402
from operations.services.actors import system_user  # noqa: E402
from operations.storage import is_in_s3  # noqa: E402
from operations.storage.folder import FolderStorage  # noqa: E402
from operations.storage.folder_draft import FolderDraft  # noqa: E402
from operations.storage.s3 import S3Storage  # noqa: E402
from operations.storage.s3_draft import S3Draft  # noqa: E402
from retention.models import RetentionPolicy  # noqa: E402
from retention.services import (  # noqa: E402
    archive_erase,
    archive_expire_close,
    bin_entering,
    bin_finder,
    bin_phase,
    copy_out,
    partition_back,
    partition_ddl,
    partition_history,
    partition_phase,
    purge,
    purge_close,
)
from retention.services.archive_expire import ArchiveExpire  # noqa: E402
from retention.services.archive_expire_start import (  # noqa: E402
    ExpiryAnswer,
    archive_expire,
    expiry_due,
)
from retention.services.archive_writing import ArchiveWriter  # noqa: E402
from retention.services.part_writer import PartWriter  # noqa: E402
from retention.services.partition_copy import PartitionCopy  # noqa: E402
from retention.services.purge_start import PurgeAnswer, purge_run  # noqa: E402

POINTS: dict[str, tuple[Any, str, str]] = {
    "stepping": (purge.Purge, "step", "before"),
    "copying": (PartWriter, "write", "before"),
    "drafting": (FolderStorage, "draft", "before"),
    "writing": (FolderDraft, "write", "before"),
    "flushing": (FolderDraft, "seal", "before"),
    "landed": (FolderStorage, "commit_all", "after"),
    "put": (S3Draft, "_publish", "after"),
    "landed in s3": (S3Storage, "commit_all", "after"),
    "durable": (ArchiveWriter, "add", "after"),
    "detaching": (partition_ddl, "detach", "before"),
    "detached": (partition_ddl, "detach", "after"),
    "guarded": (partition_ddl, "guard", "after"),
    "copied": (PartitionCopy, "_slice", "after"),
    "dropped": (partition_ddl, "drop", "after"),
    "known": (PartitionCopy, "know", "after"),
    "attached": (partition_ddl, "attach", "after"),
    "carried": (partition_history, "history_carry", "after"),
    "forgotten": (partition_history, "history_forget", "after"),
    "discarded": (partition_back, "discard", "after"),
    "committed": (purge.Purge, "committed", "before"),
    "entered": (bin_entering.EnteringPhase, "_delete", "after"),
    "begun": (bin_finder, "deletions_begin", "after"),
    "ended": (bin_phase, "deletions_end", "after"),
    "verifying": (purge.Purge, "verify", "after"),
    "manifest": (purge_close, "_complete", "after"),
    "certified": (purge_close, "certificate_issue", "after"),
    "looked": (ArchiveExpire, "step", "before"),
    "deciding": (ArchiveExpire, "_decide", "after"),
    "decided": (ArchiveExpire, "committed", "before"),
    "proving": (archive_erase, "write_once", "before"),
    "deleting": (FolderStorage, "delete", "before"),
    "deleted": (ArchiveExpire, "verify", "after"),
    "destruction": (archive_expire_close, "certificate_issue", "after"),
}


def say(**what: Any) -> None:
    os.write(1, (json.dumps(what, default=str) + "\n").encode())


def hook(point: str, number: int, then: Callable[[], None]) -> None:
    """Does `then` at the call of this number."""
    owner, name, when = POINTS[point]
    original = getattr(owner, name)
    calls = 0

    def patched(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls == number
        if mine and when == "before":
            then()
        result = original(*args, **kwargs)
        if mine and when == "after":
            then()
        return result

    setattr(owner, name, patched)


def action(order: dict[str, Any]) -> Callable[[], None]:
    def act() -> None:
        say(at=order["at"])
        if order["then"] == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif order["then"] == "hang":
            time.sleep(order["seconds"])

    return act


def fill_disk(after: int) -> None:
    """The disk is full once so many bytes were written."""
    original = os.write
    written = 0

    def write(descriptor: int, data: Any) -> int:
        nonlocal written
        if written + len(data) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += len(data)
        return original(descriptor, data)

    class Os:
        def __getattr__(self, name: str) -> Any:
            return write if name == "write" else getattr(os, name)

    from operations.storage import folder_draft

    folder_draft.os = Os()  # type: ignore[assignment]


def work(order: dict[str, Any]) -> None:
    place = order["storage"]
    settings.CUSTODY_STORAGE = place if is_in_s3(place) else Path(place)
    settings.CUSTODY_KEYS = Path(order["keys"])
    settings.CUSTODY_OBJECT_LOCK = order["lock"]
    settings.CUSTODY_ARCHIVE_RECIPIENTS = order["recipients"]
    settings.CUSTODY_RUN_LEASE_SECONDS = order["lease"]
    run_lease.worker_name = lambda: f"worker {os.getpid()}"  # type: ignore[assignment]
    copy_out.BLOCK = 1 << 12
    purge._PAGES = partition_phase.PAGES = (order["pages"], 1, order["pages"])
    partition_history.PAGES = (order["pages"], 1, order["pages"])
    purge._RECORDS = (order["records"], 1, order["records"])
    if order["at"]:
        hook(order["at"], order["number"], action(order))
    if order["room"] is not None:
        fill_disk(order["room"])
    answer: PurgeAnswer | ExpiryAnswer
    if order["job"] == "archive_expire":
        answer = archive_expire(due=expiry_due()[0], requester=system_user("crash"))
    else:
        policy = RetentionPolicy.objects.get(name=order["policy"])
        answer = purge_run(policy=policy, requester=system_user("crash"))
    say(
        end=answer.run.state if answer.run else "refused",
        error=answer.run.error if answer.run else answer.refusal,
    )


def main() -> None:
    # Nobody waits for the killed.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid:
            say(pid=pid)
            continue
        try:
            out = os.open(order["out"], os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            work(order)
        except BaseException as error:
            say(end="raised", error=f"{type(error).__name__}: {error}")
        finally:
            os._exit(0)


if __name__ == "__main__":
    main()
