"""Archives of history lose redacted values too, or it is said why not and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from auditing.models import TrackedTable
from auditing.redactions import places
from auditing.selectors.images import shape_of
from auditing.selectors.redactable import WHOLE, Stretch, redactable
from auditing.services.redact_plan import Wanted, redact_plan
from operations.models import Certificate
from operations.storage import storage
from retention.models import Archive, ArchivePart
from retention.services import archive_redact
from retention.services.archive_verify import archive_verify
from retention.services.purge_start import purge_run
from tests.retention.holding import place
from tests.retention.purging import ran

from .histories import forget
from .old_histories import KEY, VALUE, Past, history_policy, made_old
from .redacting import redacted

Execute = Callable[..., list[tuple[Any, ...]]]
Rows = list[tuple[str, ...]]


@pytest.fixture(autouse=True)
def clean(transactional_db: None) -> Iterator[None]:
    yield
    forget()


@pytest.fixture
def retired(execute: Execute, person: User) -> TrackedTable:
    """A history whose old months are in an archive; the rest of it is of no concern here."""
    tracked = made_old()
    Past(tracked, changes=400, seed=4)
    ran(purge_run(policy=history_policy(tracked), requester=person, reason="its term"))
    execute(f"DELETE FROM {tracked.history}")
    return tracked


def archived(settings: Any) -> dict[int, Rows]:
    """The rows of each part: key and value as they stand in the file, where `at` is, and op."""
    found: dict[int, Rows] = {}
    for part in ArchivePart.objects.order_by("number"):
        packed = (Path(settings.CUSTODY_STORAGE) / part.file).read_bytes()
        head, *lines = zstandard.ZstdDecompressor().decompressobj().decompress(packed).splitlines()
        names = head.decode().split(",")
        at = [names.index(name) for name in ("seq", KEY.strip('"'), VALUE.strip('"'))]
        rows = [line.decode().split(",") for line in lines]
        found[part.number] = [tuple(row[place] for place in at) for row in rows]
    return found


def without(before: dict[int, Rows], key: str) -> dict[int, Rows]:
    return {
        number: [(seq, k, "" if k == key else value) for seq, k, value in rows]
        for number, rows in before.items()
    }


def test_parts_are_written_anew_without_the_values_and_the_archive_verifies(
    retired: TrackedTable, person: User, settings: Settings
) -> None:
    before, old = archived(settings), dict(ArchivePart.objects.values_list("number", "sha256"))
    assert sum(1 for rows in before.values() for row in rows if row[1] == "7") > 3
    archive = Archive.objects.get()
    files = set(storage().list(f"{archive.folder}/"))
    run = redacted(person, "app.stock", "total", keys=("7",))
    assert archived(settings) == without(before, "7")
    archive.refresh_from_db()
    assert archive_verify(archive=archive).problems == ()
    touched = [n for n, rows in before.items() if any(k == "7" for _, k, _ in rows)]
    [told] = run.result["elsewhere"]
    assert [each["number"] for each in told["parts"]] == touched
    assert [each["former_sha256"] for each in told["parts"]] == [old[n] for n in touched]
    body = Certificate.objects.get(kind="redaction").body["body"]
    assert body["rewritten_elsewhere"] == run.result["elsewhere"]
    assert told["manifest_sha256"] == archive.manifest_sha256 != told["former_manifest_sha256"]
    left = set(storage().list(f"{archive.folder}/"))
    assert len(left) == len(files)
    assert len(left - files) == 2 * len(touched)


@pytest.mark.parametrize("stage", ["_note", "_drop", "_sweep", "_manifest"])
def test_killed_in_between_it_is_done_again(
    retired: TrackedTable, settings: Settings, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    before = archived(settings)
    [place_] = places()
    shape = shape_of(retired)
    columns, stretches = redactable(shape, ["total"]), [Stretch("7", *WHOLE)]

    def redact() -> None:
        place_.redact(retired, columns, stretches, run_id=1, beat=lambda: None, using="default")

    class Killed(BaseException):
        pass

    seen = [0]

    def dies(*given: Any) -> None:
        seen[0] += 1
        # The first of `_drop` clears away, the second takes the old part.
        if stage != "_drop" or seen[0] == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(archive_redact._Rewriting, stage, dies)
        # A killed process takes nothing back.
        patched.setattr(archive_redact.PartWriter, "give_up", lambda _: None)
        with pytest.raises(Killed):
            redact()
    redact()
    assert archived(settings) == without(before, "7")
    assert archive_verify(archive=Archive.objects.get()).problems == ()


def test_what_is_locked_or_held_stays_and_is_told(
    retired: TrackedTable, person: User, settings: Settings
) -> None:
    before = archived(settings)
    until = timezone.now() + timedelta(days=30)
    archive = Archive.objects.get()
    Archive.objects.update(locked_until=until)
    locked = f"locked until {until:%Y-%m-%d}"
    plan = redact_plan(Wanted("app.stock", ("total",), ("7",)), using="default")
    assert locked in plan.facts["elsewhere"][0]
    run = redacted(person, "app.stock", "total", keys=("7",))
    assert (archived(settings), run.result["elsewhere"]) == (before, [])
    Archive.objects.update(locked_until=None)
    place("2031-17", str(retired.history))
    [told] = places()[0].remaining(retired, using="default")
    assert f"{archive.name} of {retired.history} may hold values: hold 2031-17" in told
