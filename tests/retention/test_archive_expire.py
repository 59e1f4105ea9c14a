"""Archives past their term are destroyed with proof; what somebody holds, or is locked, is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from operations.models import Alert, Certificate, Run, ScheduledJob
from operations.services.runs import run_cancel, run_pause
from operations.storage import storage
from retention.models import Archive
from retention.services import archive_vetoes
from retention.services.archive_expire import ArchiveExpire
from retention.services.archive_expire_nightly import archive_expire_nightly
from retention.services.archive_expire_start import archive_expire, expiry_due
from retention.services.hold_place import ScopeAsked, hold_place
from retention.services.hold_release import hold_release

from .archiving import OLD, archive_of, command, restore, said
from .expiring import assert_destroyed, assert_kept, past_its_term
from .purging import files, live, make_events

pytestmark = pytest.mark.usefixtures("governed", "small_batches")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def archive(execute: Execute) -> Archive:
    make_events(execute, due=300)
    return past_its_term()


def hold(person: User, *, table: str = "app.events", case: str = "2031-17", **scope: Any) -> None:
    asked = ScopeAsked(table, missing_ok=True, **scope)
    hold_place(case_id=case, reason="a lawsuit", scopes=[asked], placed_by=person)


def test_an_archive_past_its_term_goes_and_its_certificate_says_what_it_was(
    archive: Archive,
) -> None:
    rest = live()
    code, document = command("archive_expire", reason="the term is over", user=None)
    assert (code, document["run"]["state"], document["kept"]) == (0, "succeeded", [])
    body = assert_destroyed(archive)
    assert body["policy"]["name"] == "events"
    assert (body["rows"], body["reason"]) == (300, "the term is over")
    [told] = body["archives"]
    disposition = Certificate.objects.get(kind="disposition")
    assert told["disposition_certificate"] == disposition.number
    assert (told["rows"], told["manifest_sha256"]) == (300, archive.manifest_sha256)
    assert (told["files_left"], body["kept_past_their_term"]) == ([], [])
    assert live() == rest
    code, document = command("archive_verify")
    assert (code, document["strangers"]) == (0, [])
    [verified] = document["archives"]
    certificate = Certificate.objects.get(kind="destruction")
    assert certificate.number in verified["notes"][0]
    assert "was destroyed" in said("archive_search", archive.name)
    assert restore(archive)[0] == 3
    assert "destroyed" in said("archive_list")
    assert "No archive is past its term." in said("archive_expire")


def test_nothing_is_destroyed_before_its_term(execute: Execute) -> None:
    make_events(execute, due=30)
    archive = archive_of("events", archive_days=30)
    before = files(archive.folder)
    assert command("archive_expire")[1]["runs"] == []
    code, document = command("archive_expire", archive.name)
    assert (code, "nothing is destroyed before its term" in str(document)) == (3, True)
    archive.expires_at = None
    archive.save()
    code, document = command("archive_expire", archive.name)
    assert (code, "kept for ever" in str(document)) == (3, True)
    assert_kept(archive, before)


def test_a_rehearsal_tells_who_holds_what_and_changes_nothing(
    execute: Execute, person: User, archive: Archive
) -> None:
    before = files(archive.folder)
    assert archive.name in said("archive_expire", dry_run=True)
    hold(person, rows=["7"])
    code, document = command("archive_expire", dry_run=True)
    assert (code, document["archives"]) == (0, [])
    assert document["kept"] == [{"archive": archive.name, "why": "is held by hold 2031-17."}]
    assert_kept(archive, before)
    assert not Run.objects.filter(kind="archive_expire").exists()


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ({"rows": ["7"]}, True),
        ({"rows": ["100000"]}, False),
        ({"where": "id = 299"}, True),
        ({"where": "id = 999"}, False),
        # A quarter of the kinds is NULL: whether it holds for those rows is unknown.
        ({"where": "kind = 'no such kind'"}, True),
        ({"where": "kind = 'no such kind' AND id = 999"}, False),
        ({}, True),
    ],
    ids=str,
)
def test_one_held_row_keeps_its_archive(
    person: User, archive: Archive, scope: dict[str, Any], held: bool
) -> None:
    before = files(archive.folder)
    hold(person, **scope)
    code, document = command("archive_expire")
    assert code == 0
    if not held:
        assert_destroyed(archive)
        return
    assert document["run"]["result"]["certificate"] is None
    [kept] = document["kept"]
    assert (kept["archive"], "is held by hold 2031-17" in kept["why"]) == (archive.name, True)
    assert_kept(archive, before)


def test_a_held_archive_is_read_again_only_when_something_changed(
    person: User, archive: Archive
) -> None:
    hold(person, rows=["7"])
    command("archive_expire")
    [run] = Run.objects.filter(kind="archive_expire")
    _, document = command("archive_expire")
    assert (document["runs"], len(document["kept"])) == ([], 1)
    other = User.objects.create_superuser("eve")
    hold_release(case_id="2031-17", released_by=other, reason="settled")
    command("archive_expire")
    assert_destroyed(archive)
    assert run != Run.objects.filter(kind="archive_expire").first()


def test_the_hold_of_a_table_that_is_gone_keeps_its_archives(
    execute: Execute, person: User, archive: Archive
) -> None:
    before = files(archive.folder)
    hold(person, rows=["100000"])
    execute("DROP TABLE app.events")
    _, document = command("archive_expire")
    assert "hold 2031-17" in document["kept"][0]["why"]
    assert_kept(archive, before)


def test_a_hold_is_asked_of_the_table_as_it_is_now(
    execute: Execute, person: User, archive: Archive
) -> None:
    """A column that was added is unknown for archived rows; a renamed or retyped one is not."""
    execute("ALTER TABLE app.events RENAME kind TO sort")
    execute("ALTER TABLE app.events ALTER id TYPE text, ADD ward int")
    before = files(archive.folder)
    hold(person, where="sort = 'k\"e,y7' AND id = '7'", case="a")
    assert "hold a" in command("archive_expire")[1]["kept"][0]["why"]
    other = User.objects.create_superuser("eve")
    hold_release(case_id="a", released_by=other, reason="settled")
    hold(person, where="ward = 5", case="b")
    assert "hold b" in command("archive_expire")[1]["kept"][0]["why"]
    assert_kept(archive, before)
    hold_release(case_id="b", released_by=other, reason="settled")
    hold(person, where="sort = 'k\"e,y7' AND id = '999'", case="c")
    command("archive_expire")
    assert_destroyed(archive)


def test_a_hold_placed_while_the_archive_is_read_counts(
    person: User, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(archive.folder)
    prepare = ArchiveExpire.prepare

    def prepared(kind: ArchiveExpire, beat: Any) -> None:
        prepare(kind, beat)
        monkeypatch.undo()
        hold(person, rows=["7"])

    monkeypatch.setattr(ArchiveExpire, "prepare", prepared)
    code, document = command("archive_expire")
    assert (code, "hold 2031-17" in str(document["kept"])) == (0, True)
    assert_kept(archive, before)
    log = str(list(Run.objects.get(kind="archive_expire").events.values_list("message")))
    assert "A hold was placed or released while" in log


def test_what_cannot_be_read_is_held(person: User, archive: Archive) -> None:
    hold(person, rows=["100000"])
    part = archive.parts.first()
    assert part is not None
    storage().delete(part.file)
    before = files(archive.folder)
    _, document = command("archive_expire")
    assert "its rows cannot be asked" in document["kept"][0]["why"]
    assert_kept(archive, before)


def test_what_the_storage_has_locked_is_kept_and_named(archive: Archive) -> None:
    archive.locked_until = timezone.now() + timedelta(days=5)
    archive.save()
    before = files(archive.folder)
    code, document = command("archive_expire")
    assert (code, document["runs"]) == (0, [])
    assert "is locked in the storage until" in document["kept"][0]["why"]
    assert command("archive_expire", archive.name)[0] == 3
    assert_kept(archive, before)


def test_more_than_twice_the_recent_maximum_waits_for_another_person(
    execute: Execute, archive: Archive
) -> None:
    command("archive_expire")
    assert_destroyed(archive)
    execute(
        f"INSERT INTO app.events (id, created_at)"
        f" SELECT n, {OLD} FROM generate_series(5001, 5700) n"
    )
    larger = past_its_term(name="larger")
    Archive.objects.filter(pk=larger.pk).update(policy=archive.policy)
    before = files(larger.folder)
    code, document = command("archive_expire")
    assert (code, document["run"]["state"]) == (0, "awaiting_approval")
    assert "700 archived rows are past their term" in document["run"]["approval_reason"]
    assert_kept(larger, before)


def test_cancelled_after_the_decision_it_ends_what_was_decided(
    archive: Archive, person: User
) -> None:
    [due] = expiry_due()

    def pause(run: Run) -> None:
        if run.cursor.get("decided"):
            run_pause(run_id=run.pk, actor=person)

    run = archive_expire(due=due, requester=person, on_progress=pause).run
    assert run is not None
    assert run.state == "paused"
    archive.refresh_from_db()
    assert archive.state == "destroyed"
    assert "is destroying it" in said("archive_verify", archive.name)
    run_cancel(run_id=run.pk, actor=person)
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert files(archive.folder) == {f"{archive.folder}/destroyed.json"}
    assert run.certificates.get().kind == "destruction"


def test_a_file_that_the_database_does_not_know_is_left_and_told(archive: Archive) -> None:
    stranger = f"{archive.folder}/part-999999-1.1.csv.zst"
    draft = storage().draft(stranger)
    draft.write(b"rows of a future that a backup undid")
    draft.commit()
    command("archive_expire")
    assert files(archive.folder) == {f"{archive.folder}/destroyed.json", stranger}
    body = Certificate.objects.get(kind="destruction").body["body"]
    assert body["archives"][0]["files_left"] == [stranger]
    assert command("archive_verify")[0] == 1


def test_the_term_of_an_archive_can_be_lengthened_and_never_shortened(archive: Archive) -> None:
    before = files(archive.folder)
    code, document = command("archive_keep", archive.name, until="2101-01-01", dry_run=True)
    assert (code, [each["name"] for each in document["archives"]]) == (0, [archive.name])
    assert command("archive_expire", dry_run=True)[1]["archives"]
    code, document = command("archive_keep", archive.name, until="2101-01-01", reason="audit")
    assert (code, document["archive"]["expires_at"][:10]) == (0, "2101-01-01")
    assert command("archive_expire")[1]["runs"] == []
    code, document = command("archive_keep", archive.name, until="2100-01-01")
    assert (code, "can only be lengthened" in document["error"]["message"]) == (3, True)
    assert command("archive_keep", archive.name, until="soon")[0] == 2
    assert command("archive_keep", archive.name, until="ever", reason="history")[0] == 0
    told = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert told[0].startswith("Kept until 2101-01-01 in place of")
    assert told[0].endswith("Reason: audit")
    assert told[1] == "Kept for ever in place of until 2101-01-01. Reason: history"
    assert_kept(archive, before)


def test_the_token_of_the_vetoes_is_another_one_after_every_change(
    archive: Archive, person: User
) -> None:
    seen = [archive_vetoes.vetoes_token(archive=archive)]
    for scope in ({"rows": ["7"]}, {"rows": ["8"]}, {"where": "id = 5"}, {}):
        hold(person, **scope)
        seen.append(archive_vetoes.vetoes_token(archive=archive))
    assert len(set(seen)) == len(seen)


def test_every_night_what_is_past_its_term_gets_a_run_and_a_paused_one_is_said(
    archive: Archive, person: User
) -> None:
    [run_id] = archive_expire_nightly(requester=person)
    assert ScheduledJob.objects.get().name == "retention.archive_expire_nightly"
    assert Run.objects.get(pk=run_id).reason == "nightly"
    run_pause(run_id=run_id, actor=person)
    assert archive_expire_nightly(requester=person) == []
    alert = Alert.objects.get(resolved_at=None, key="expiry-refused:events")
    assert "is paused" in alert.summary
    assert command("archive_expire")[0] == 0
    assert_destroyed(archive)
    assert archive_expire_nightly(requester=person) == []
    assert not Alert.objects.filter(resolved_at=None, key="expiry-refused:events").exists()
