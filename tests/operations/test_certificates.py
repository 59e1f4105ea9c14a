"""Certificates: issued once, durable before they count, and any change to them is found."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from operations import keys
from operations.certificates.canonical import NotCanonical, canonical
from operations.exceptions import UsageError
from operations.models import Certificate, Run, SigningKey
from operations.runs.states import RunState
from operations.selectors.certificates import (
    certificate_check,
    certificate_get,
    certificate_strays,
)
from operations.services.certificates import certificate_issue
from operations.storage import StorageError, storage
from tests.operations.certificate_bodies import PURGE
from tests.operations.django_child import start
from tests.operations.pdf_text import pdf_text

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(person: User) -> Run:
    return Run.objects.create(
        kind="purge", subject="shop.analytics_events", requester=person, state=RunState.RUNNING
    )


def issue(run: Run | None, **changes: Any) -> Certificate:
    given: dict[str, Any] = {
        "kind": "disposition",
        "subject": "shop.analytics_events",
        "body": PURGE,
        "run": run,
    }
    return certificate_issue(**{**given, **changes})


def stored() -> set[str]:
    return {*storage().list(""), *storage().list_drafts("")}


def paths(certificate: Certificate) -> set[str]:
    return {certificate.json_path, certificate.pdf_path}


def stored_file(path: str) -> Path:
    return Path(storage().location(path))


def test_a_certificate_has_a_row_a_signed_file_and_a_pdf(run: Run, settings: Any) -> None:
    settings.CUSTODY_ORGANISATION = "Łódź Health Trust"
    before = timezone.now().replace(microsecond=0)
    certificate = issue(run)
    certificate.refresh_from_db()
    assert re.fullmatch(rf"C-{before.year}-\d{{6}}", certificate.number)
    assert certificate.json_path == f"certificates/{certificate.number}.run-{run.pk}.json"
    assert certificate.pdf_path == f"certificates/{certificate.number}.run-{run.pk}.pdf"
    assert before <= certificate.issued_at <= timezone.now()
    assert stored() == paths(certificate)

    document = json.loads(stored_file(certificate.json_path).read_text())
    pdf = stored_file(certificate.pdf_path).read_bytes()
    assert document["certificate"] == certificate.body
    assert document["certificate"] == {
        "format": "custody-certificate/1",
        "number": certificate.number,
        "kind": "disposition",
        "subject": "shop.analytics_events",
        "issued_at": certificate.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "organisation": "Łódź Health Trust",
        "key_id": keys.current_key().key_id,
        "pdf_sha256": hashlib.sha256(pdf).hexdigest(),
        "body": PURGE,
    }
    assert list(document["certificate"]["body"]) == list(PURGE), "people read it in this order"
    assert document["signature"] == certificate.signature
    assert document["public_key"] == certificate.key.public_key
    assert keys.verify(
        canonical(document["certificate"]), certificate.signature, certificate.key.key_id
    )
    assert certificate.number in pdf_text(pdf)
    assert certificate_check(certificate).problems == ()


def test_the_second_issue_for_a_run_returns_the_first(run: Run, person: User) -> None:
    first = issue(run)
    again = issue(run, body={"outcome": "another"}, subject="another")
    assert again == first
    assert again.body == first.body
    assert stored() == paths(first)
    other_kind = issue(run, kind="destruction")
    other_run = issue(Run.objects.create(kind="purge", subject="x", requester=person))
    assert len({first.number, other_kind.number, other_run.number}) == 3
    assert stored() == paths(first) | paths(other_kind) | paths(other_run)


def test_without_a_run_each_issue_is_a_certificate_of_its_own() -> None:
    one, two = issue(None), issue(None)
    assert one.number != two.number
    assert one.json_path == f"certificates/{one.number}.json"
    assert stored() == paths(one) | paths(two)
    assert certificate_check(one).valid
    assert certificate_check(two).valid


KILLED = """
import operations.services.certificates as services
from operations.models import Certificate, Run
from tests.operations.certificate_bodies import PURGE
from django.db import transaction

moment = sys.argv[2]
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "with drafts":
    from operations.storage.folder import FolderStorage
    FolderStorage.commit_all = die
elif moment == "between the two names":
    real, calls = os.link, []
    def link(*args, **kwargs):
        calls.append(1)
        return die() if len(calls) == 2 else real(*args, **kwargs)
    os.link = link
elif moment == "before the row":
    Certificate.objects.create = die
with transaction.atomic():
    services.certificate_issue(
        kind="disposition", subject="t", body=PURGE, run=Run.objects.get(pk=sys.argv[1])
    )
    if moment == "before the commit":
        die()
"""


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("with drafts", r"\.C-[\d-]+\.run-\d+\.(json|pdf)\.\w+\.tmp"),
        ("between the two names", r"C-[\d-]+\.run-\d+\.json|\.C-[\d-]+\.run-\d+\.pdf\.\w+\.tmp"),
        ("before the row", r"C-[\d-]+\.run-\d+\.(json|pdf)"),
        ("before the commit", r"C-[\d-]+\.run-\d+\.(json|pdf)"),
    ],
)
def test_killed_at_any_moment_the_next_try_leaves_no_orphan(
    run: Run, person: User, moment: str, left: str
) -> None:
    # Another run's certificate and its own of another kind are not to be touched.
    other = issue(Run.objects.create(kind="purge", subject="x", requester=person))
    earlier = issue(run, kind="destruction")
    kept = paths(other) | paths(earlier)
    child = start(KILLED, run.pk, moment)
    _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors
    orphans = stored() - kept
    assert len(orphans) == 2
    assert all(re.fullmatch(f"certificates/({left})", path) for path in orphans), orphans
    assert not Certificate.objects.filter(run=run, kind="disposition").exists()
    assert certificate_strays() == [], "the run is not over: its next try removes them"

    certificate = issue(run)
    assert stored() == kept | paths(certificate)
    assert all(certificate_check(c).valid for c in (certificate, other, earlier))


def test_a_rolled_back_transaction_is_like_a_kill(run: Run) -> None:
    with transaction.atomic():
        lost = issue(run)
        transaction.set_rollback(True)
    assert not Certificate.objects.exists()
    certificate = issue(run)
    assert certificate.number != lost.number
    assert stored() == paths(certificate)


def test_a_full_disk_leaves_no_file_and_no_row(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store = storage()
    store.probe()
    with monkeypatch.context() as patch:
        import errno
        import os

        def write(descriptor: int, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        keys.current_key()
        patch.setattr(os, "write", write)
        with pytest.raises(StorageError, match="Free some space"):
            issue(run)
    assert stored() == set()
    assert not Certificate.objects.exists()
    assert certificate_check(issue(run)).valid


def test_a_killed_process_whose_commit_still_lands_is_waited_for(
    run: Run, other_session: Callable[[], Any]
) -> None:
    holder = other_session()
    holder.autocommit = False
    holder.execute("SELECT 1 FROM custody.operations_run WHERE id = %s FOR UPDATE", [run.pk])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '200ms'")
        with pytest.raises(Exception, match="lock timeout"):
            issue(run)
    assert stored() == set(), "nothing is written or removed before the lock is had"
    holder.rollback()
    issue(run)


def test_a_database_restored_from_an_older_backup_gives_no_number_twice(
    run: Run, person: User, caplog: pytest.LogCaptureFixture
) -> None:
    other = Run.objects.create(kind="purge", subject="x", requester=person)
    lost = [issue(run), issue(other)]
    handed_out = paths(lost[0]) | paths(lost[1])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setval('custody.certificate_number', %s, false)",
            [int(lost[0].number.rpartition("-")[2])],
        )
    Certificate.objects.all().delete()
    # Run `run` goes on where the backup had it; `other` is now another run with the same id.
    Run.objects.filter(pk=other.pk).update(created_at=timezone.now() + timedelta(seconds=2))
    other.refresh_from_db()
    with caplog.at_level(logging.WARNING):
        new = [issue(run), issue(other)]
    assert not {c.number for c in lost} & {c.number for c in new}
    assert stored() == handed_out | paths(new[0]) | paths(new[1])
    assert "passed over" in caplog.text
    for old in lost:
        assert certificate_check(stored_file(old.json_path)).valid
    Run.objects.update(state=RunState.SUCCEEDED)
    assert set(certificate_strays()) == handed_out


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"body": {"ratio": 0.5}}, NotCanonical),
        ({"body": {"at": datetime.now(tz=UTC)}}, NotCanonical),
        ({"body": {"name": "NUL \0"}}, NotCanonical),
        ({"subject": "NUL \0"}, NotCanonical),
        ({"subject": "x" * 201}, UsageError),
        ({"kind": ""}, UsageError),
        ({"kind": "x" * 41}, UsageError),
    ],
)
def test_what_cannot_be_certified_is_refused_before_anything_is_written(
    run: Run, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        issue(run, **changes)
    assert stored() == set()
    assert not SigningKey.objects.exists()


def test_a_certificate_is_found_by_number_or_id(run: Run) -> None:
    certificate = issue(run)
    for reference in (certificate.number, certificate.number.lower(), certificate.pk):
        assert certificate_get(reference) == certificate
    for reference in ("C-1999-000001", "", "0", "9" * 30, "x' OR true --", "²"):
        with pytest.raises(UsageError, match="There is no certificate"):
            certificate_get(reference)
