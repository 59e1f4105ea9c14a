"""An expiry that is killed at any moment ends as if it never had been."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.models import Certificate, Run
from retention.models import Archive

from .archiving import command
from .crash import Nursery
from .expiring import assert_destroyed, past_its_term
from .purging import files, live, make_events

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]

MOMENTS = [
    ("looked", 1),
    ("deciding", 1),
    ("decided", 1),
    ("proving", 1),
    ("deleting", 1),
    ("deleting", 4),
    ("looked", 2),
    ("decided", 2),
    ("deleted", 1),
    ("destruction", 1),
]


@pytest.mark.parametrize(("moment", "number"), MOMENTS)
def test_killed_at_each_moment_the_archive_is_destroyed_once(
    execute: Execute, nursery: Nursery, moment: str, number: int
) -> None:
    make_events(execute, due=300)
    archive = past_its_term()
    rest = live()
    worker = nursery.work(at=moment, number=number, job="archive_expire")
    worker.wait_for(moment)
    worker.kill()
    if Archive.objects.get().state == "complete":
        assert len(files(archive.folder)) > 4, "nothing goes before it is decided"
    assert command("archive_expire")[0] == 0
    assert_destroyed(archive)
    assert Run.objects.filter(kind="archive_expire").count() == 1
    assert Certificate.objects.filter(kind="destruction").count() == 1
    assert live() == rest
