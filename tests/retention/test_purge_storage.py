"""The archive's disk is full, breaks or hangs: nothing is deleted that is not on it."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from operations.models import Alert, Run
from operations.storage import folder_draft
from retention.services import purge
from retention.services.purge_start import purge_run

from .crash import Nursery
from .purging import assert_whole, live, make_events, make_policy

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
DUE = 3000


def test_a_full_disk_fails_the_run_which_goes_on_when_there_is_room(
    nursery: Nursery, execute: Execute
) -> None:
    make_events(execute, due=DUE)
    make_policy()
    before = live()
    reached = -1
    # Bytes of room: in the first part, in a sidecar, in later parts.
    for room in (100, 15_000, 15_700, 16_400, 17_100):
        assert nursery.work(room=room).end()["end"] == "failed"
        run = Run.objects.get()
        assert reached <= run.done < DUE
        assert "Free some space there" in run.error
        assert Alert.objects.filter(key=f"run-failed:{run.pk}", resolved_at=None).count() == 1
        assert_whole(before, complete=False)
        reached = run.done
    assert reached > 0
    assert nursery.work(pages=1000).end()["end"] == "succeeded"
    assert not Alert.objects.filter(resolved_at=None).exists()
    assert_whole(before)


@pytest.fixture
def small_disk() -> Iterator[Callable[[str], None]]:
    """A real one, which only root can have. Called with a size, it becomes as large."""
    folder = Path(settings.CUSTODY_STORAGE)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k,mode=0700", "custody-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")

    def resize(size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)

    yield resize
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_small_disk_that_is_full_and_then_grows(
    nursery: Nursery, execute: Execute, small_disk: Callable[[str], None]
) -> None:
    make_events(execute, due=DUE)
    make_policy()
    before = live()
    assert nursery.work().end()["end"] == "failed"
    run = Run.objects.get()
    assert 0 < run.done < DUE
    assert "Free some space there" in run.error
    assert_whole(before, complete=False)
    small_disk("64m")
    assert nursery.work().end()["end"] == "succeeded"
    assert_whole(before)


def test_a_disk_that_is_full_when_all_rows_are_gone_fails_the_run_which_is_then_closed(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    before = live()

    class Full:
        def __getattr__(self, name: str) -> Any:
            return self.refuse if name == "write" else getattr(os, name)

        def refuse(self, *args: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(run: Run) -> None:
        if run.state == "verifying":
            full.setattr(folder_draft, "os", Full())

    with monkeypatch.context() as full:
        answer = purge_run(policy=policy, requester=person, on_progress=fill)
    assert answer.run is not None
    assert (answer.run.state, answer.run.done) == ("failed", 600)
    assert_whole(before, complete=False)
    answer = purge_run(policy=policy, requester=person)
    assert answer.run is not None
    assert (answer.run.state, answer.run.done, answer.run.error) == ("succeeded", 600, "")
    assert_whole(before)


@pytest.mark.parametrize("call", ["fsync", "link", "unlink"])
def test_a_disk_with_errors_never_costs_a_row(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(purge, "_PAGES", (2, 1, 2))
    make_events(execute, due=600)
    policy = make_policy()
    before = live()
    original = getattr(os, call)
    calls = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 7 == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(*args, **kwargs)

    class Os:
        def __getattr__(self, name: str) -> Any:
            return failing if name == call else getattr(os, name)

    with monkeypatch.context() as broken:
        broken.setattr(folder_draft, "os", Os())
        states = {purge_run(policy=policy, requester=person).run.state for _ in range(4)}
    if call != "unlink":
        assert "failed" in states
        assert calls >= 7
    assert live() <= before
    answer = purge_run(policy=policy, requester=person)
    assert answer.run is not None
    assert answer.run.state == "succeeded"
    assert_whole(before)


def test_a_part_that_is_damaged_after_it_was_written_is_found_before_the_run_is_called_done(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(execute, due=600)
    policy = make_policy()
    monkeypatch.setattr(purge, "_PAGES", (2, 1, 2))
    storage = Path(settings.CUSTODY_STORAGE)

    def damage(run: Run) -> None:
        if run.state == "verifying":
            part = next(storage.rglob("*.csv.zst"))
            content = bytearray(part.read_bytes())
            content[len(content) // 2] ^= 1
            part.write_bytes(content)

    answer = purge_run(policy=policy, requester=person, on_progress=damage)
    assert answer.run is not None
    assert answer.run.state == "failed"
    assert "is not what was written" in answer.run.error
