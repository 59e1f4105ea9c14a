"""Evidence of redacted rows, of purged ones, and of archives: what is gone, and what remains."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from auditing.models import AuditEvent
from auditing.services.audit_seal import audit_seal
from auditing.services.evidence_export import evidence_export
from auditing.services.track import table_track
from operations.models import Certificate, SigningKey
from operations.services.certificates import certificate_issue
from operations.services.key_rotate import key_compromised
from operations.storage import storage
from tests.auditing.evidence_kit import (
    examine,
    lines_of,
    lines_put,
    members_of,
    private_key,
    signed_anew,
    zip_made,
)
from tests.auditing.redacting import SECRET, redacted

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def people(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, email text, name text)")
    table_track("app.people", actor=person, reason="the law")
    execute(f"INSERT INTO app.people SELECT n, '{SECRET}-' || n, 'n' FROM generate_series(1, 30) n")
    audit_seal()


def exported(person: User, out: Path, record: str | None = None) -> dict[str, Any]:
    run = evidence_export(
        since=None,
        until=None,
        tables=["app.people"],
        record=record,
        requester=person,
        reason="the court asked",
        out=out,
    )
    assert run.state == "succeeded", run.error
    return dict(run.result)


def test_redacted_values_are_not_in_it_and_their_commitments_verify(
    people: None, person: User, tmp_path: Path
) -> None:
    run = redacted(person, "app.people", "email", keys=("1",))
    certificate = Certificate.objects.get(run=run)
    done = exported(person, tmp_path / "e.zip")
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 0, said
    assert done["certificates"] == [certificate.number]
    assert f"signed  certificate {certificate.number}, redaction of" in said
    assert "rows    1 of custody.auditing_redaction" in said
    members = members_of(tmp_path / "e.zip")
    everything = b"\n".join(members.values())
    assert f"{SECRET}-2".encode() in everything
    assert f"{SECRET}-1,".encode() not in everything
    rows = lines_of(members, "rows/history.app__people.jsonl")
    gone = [each for row in rows for each in row.get("values", []) if len(each) == 2]
    assert [name for name, _ in gone] == ["2_email"]
    assert b"(redacted)" in members["summary/app.people.csv"]
    other = exported(person, tmp_path / "f.zip", record="7")
    assert other["certificates"] == [], "another record's redaction is no concern of it"
    assert "rows/custody.auditing_redaction.jsonl" not in members_of(tmp_path / "f.zip")
    assert examine(tmp_path / "f.zip", alone=tmp_path)[0] == 0


def test_a_commitment_put_in_the_place_of_another_is_found(
    people: None, person: User, tmp_path: Path
) -> None:
    redacted(person, "app.people", "email", keys=("1",))
    exported(person, tmp_path / "e.zip")
    members, name = members_of(tmp_path / "e.zip"), "rows/history.app__people.jsonl"
    lines = lines_of(members, name)
    each = next(each for line in lines for each in line.get("values", []) if len(each) == 2)
    each[1] = "00" * 32
    lines_put(members, name, lines)
    altered = signed_anew(members, private_key(Path(settings.CUSTODY_KEYS)))
    code, said = examine(zip_made(altered, tmp_path / "f.zip"), alone=tmp_path)
    assert (code, "not as sealed" in said) == (1, True), said


def test_what_rests_on_a_leaked_key_is_named_unless_older_anchors_cover_it(
    execute: Execute, people: None, person: User, tmp_path: Path
) -> None:
    leaked = SigningKey.objects.get()
    # Anchors tell their time in whole seconds.
    time.sleep(1.1)
    key_compromised(key=leaked, since=timezone.now(), reason="a laptop was stolen")
    execute("INSERT INTO app.people VALUES (40, 'later', 'n')")
    exported(person, tmp_path / "e.zip")
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 0, said
    assert f"note    key {leaked.key_id} leaked: blocks after 1 rest on it alone" in said
    key_compromised(key=leaked, since=timezone.now() - timedelta(days=1), reason="it was earlier")
    exported(person, tmp_path / "f.zip")
    code, said = examine(tmp_path / "f.zip", alone=tmp_path)
    assert code == 1
    assert "history.app__people.jsonl: 30 rows rest on a key that had leaked" in said


def test_versions_that_were_purged_are_missing_and_not_said_to_be_there(
    execute: Execute, people: None, person: User, tmp_path: Path
) -> None:
    execute('DELETE FROM history.app__people WHERE "1_id" = 3')
    done = exported(person, tmp_path / "e.zip")
    assert done["versions"] == 29
    assert ["history.app__people", 1, 1] not in done["complete"]
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 0, said
    assert "whole   blocks 1 to" not in said


def test_the_manifest_of_an_archive_is_verified_by_the_certificate_of_its_purge(
    tmp_path: Path,
) -> None:
    part = tmp_path / "parts" / "part-000001-1.1.csv.zst"
    part.parent.mkdir()
    part.write_bytes(b"rows")
    manifest = {
        "archive": "old-orders-1",
        "layout": {"format": "custody-archive/1"},
        "rows": 2,
        "bytes": 4,
        "parts": [
            {
                "file": f"archives/old-orders-1/{part.name}",
                "rows": 2,
                "bytes": 4,
                "sha256": hashlib.sha256(b"rows").hexdigest(),
            }
        ],
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    named = {
        "name": "old-orders-1",
        "manifest_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    issued = certificate_issue(kind="disposition", subject="x", body={"archive": named}, run=None)
    certificate = tmp_path / "certificate.json"
    with storage().open(issued.json_path) as file:
        certificate.write_bytes(file.read())
    code, said = examine(path, alone=tmp_path)
    assert (code, "nothing signs" in said) == (0, True), said
    assert said.endswith("YES, but mind the notes.\n")
    whole = (path, certificate, "--parts", part.parent)
    code, said = examine(*whole, alone=tmp_path)
    assert (code, "nothing signs" in said) == (0, False), said
    part.write_bytes(b"rowz")
    code, said = examine(*whole, alone=tmp_path)
    assert (code, "was not what" in said or "is not what was written" in said) == (1, True), said
    part.unlink()
    code, said = examine(*whole, alone=tmp_path)
    assert (code, "is missing: 2 rows" in said) == (1, True), said
    path.write_text(json.dumps({**manifest, "rows": 3}))
    code, said = examine(path, certificate, alone=tmp_path)
    assert code == 1
    assert "is not the manifest that the certificate names" in said
    assert "its parts have 2 rows, not 3" in said
    assert not AuditEvent.objects.filter(kind="purge").exists()
