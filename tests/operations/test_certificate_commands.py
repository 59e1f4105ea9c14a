"""certificate_list, certificate_show, certificate_verify: what they print and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from operations.models import Certificate, Run
from operations.services.certificates import certificate_issue
from operations.storage import storage
from tests.operations.certificate_bodies import PURGE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def certificate(person: User) -> Certificate:
    run = Run.objects.create(
        kind="purge", subject="shop.events", requester=person, state="succeeded"
    )
    return certificate_issue(kind="disposition", subject="shop.events", body=PURGE, run=run)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command; returns its exit code, what it printed and its last word."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code, last = 0, ""
        try:
            call_command(*words)
        except CommandError as error:
            code, last = error.returncode, str(error)
        return code, capsys.readouterr().out, last

    return run


def test_the_list_shows_the_newest_first(told: Any, certificate: Certificate) -> None:
    newer = certificate_issue(kind="erasure", subject="ada", body={}, run=None)
    code, printed, _ = told("certificate_list", "--json")
    assert code == 0
    found = json.loads(printed)["certificates"]
    assert [c["number"] for c in found] == [newer.number, certificate.number]
    assert found[1] == {
        "id": certificate.pk,
        "number": certificate.number,
        "kind": "disposition",
        "subject": "shop.events",
        "run": certificate.run_id,
        "issued_at": certificate.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "key_id": certificate.key.key_id,
    }
    _, printed, _ = told("certificate_list")
    assert printed.index(newer.number) < printed.index(certificate.number)
    _, printed, _ = told("certificate_list", "--kind", "disposition", "--json")
    assert [c["number"] for c in json.loads(printed)["certificates"]] == [certificate.number]
    _, printed, _ = told("certificate_list", "--run", str(certificate.run_id), "--json")
    assert [c["number"] for c in json.loads(printed)["certificates"]] == [certificate.number]


def test_an_empty_list_says_so(told: Any) -> None:
    assert told("certificate_list")[:2] == (0, "There are no certificates.\n")
    assert json.loads(told("certificate_list", "--json")[1]) == {"certificates": []}
    assert told("certificate_verify")[:2] == (0, "There are no certificates.\n")


def test_a_certificate_is_shown_with_what_it_certifies(
    told: Any, certificate: Certificate, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.pdf"
    code, printed, _ = told("certificate_show", certificate.number, "--pdf", str(copy))
    assert code == 0
    for part in (certificate.number, "shop.events", "GDPR art. 5(1)(e)", "Ana Čović", str(copy)):
        assert part in printed
    assert "Valid: it is what was signed." in printed
    assert copy.read_bytes() == Path(storage().location(certificate.pdf_path)).read_bytes()
    code, printed, _ = told("certificate_show", certificate.number, "--json")
    shown = json.loads(printed)["certificate"]
    assert (code, shown["valid"], shown["problems"]) == (0, True, [])
    assert shown["body"] == PURGE
    assert shown["signature"] == certificate.signature
    assert Path(shown["json_file"]).exists()
    assert Path(shown["pdf_file"]).exists()


def test_a_copy_never_overwrites_and_goes_where_it_can(
    told: Any, certificate: Certificate, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.pdf"
    copy.write_text("another")
    code, _, last = told("certificate_show", certificate.number, "--pdf", str(copy))
    assert (code, last) == (3, f"{copy} is there already: name another file.")
    assert copy.read_text() == "another"
    code, _, last = told("certificate_show", certificate.number, "--pdf", str(tmp_path / "no/x"))
    assert code == 2
    assert "No such file or directory" in last


def test_no_such_certificate_is_wrong_usage(told: Any, tmp_path: Path) -> None:
    for words in (
        ("certificate_show", "C-1999-000001"),
        ("certificate_verify", "C-1999-000001"),
        ("certificate_verify", str(tmp_path / "nothing.json")),
        ("certificate_verify", str(tmp_path)),
    ):
        code, printed, last = told(*words)
        assert (code, printed) == (2, "")
        assert words[1] in last
    code, printed, _ = told("certificate_show", "C-1999-000001", "--json")
    assert code == 2
    assert json.loads(printed)["error"]["exit_code"] == 2


def test_all_are_verified_without_a_name(told: Any, certificate: Certificate) -> None:
    other = certificate_issue(kind="erasure", subject="ada", body={}, run=None)
    code, printed, _ = told("certificate_verify")
    assert code == 0
    key = certificate.key.key_id
    assert printed.splitlines() == [
        f"{certificate.number}: valid, signed by key {key}",
        f"{other.number}: valid, signed by key {key}",
    ]
    Certificate.objects.filter(pk=other.pk).update(subject="eve")
    code, printed, last = told("certificate_verify", "--json")
    assert code == 1
    assert last == "1 of 2 certificates not valid."
    found = json.loads(printed)
    assert [c["valid"] for c in found["certificates"]] == [True, False]
    assert found["certificates"][1]["problems"] == [
        "The database says subject is eve; what was signed says ada."
    ]
    assert found["unknown_files"] == []
    code, printed, _ = told("certificate_show", other.number)
    assert code == 1
    assert "what was signed says ada" in printed


def test_files_and_numbers_are_verified_by_name(
    told: Any, certificate: Certificate, tmp_path: Path
) -> None:
    files = [storage().location(p) for p in (certificate.json_path, certificate.pdf_path)]
    code, printed, _ = told("certificate_verify", certificate.number, *files)
    assert code == 0
    assert printed.count(": valid, signed by key") == 3
    changed = tmp_path / "changed.json"
    changed.write_text(Path(files[0]).read_text().replace("1234567", "1234568"))
    code, printed, last = told("certificate_verify", certificate.number, str(changed))
    assert code == 1
    assert f"{changed}: The signature does not fit the content" in printed
    assert last == "1 of 2 certificates not valid."


def test_files_of_a_deleted_certificate_are_named(told: Any, certificate: Certificate) -> None:
    files = [storage().location(p) for p in (certificate.json_path, certificate.pdf_path)]
    certificate.delete()
    code, printed, last = told("certificate_verify")
    assert code == 1
    assert last == "2 files without a certificate."
    assert all(f"{file}: the database knows no such certificate" in printed for file in files)
