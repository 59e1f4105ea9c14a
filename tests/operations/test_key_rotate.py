"""Ending a signing key: rotated, lost, leaked. What was signed before stays verifiable."""

from __future__ import annotations

import base64
import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from operations import key_uses, keys
from operations.certificates.canonical import canonical
from operations.models import Certificate, SigningKey
from operations.selectors.certificates import certificate_check
from operations.selectors.keys import key_doubt, keys_compromised
from operations.services.certificates import certificate_issue
from tests.operations.django_child import start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(settings: Any) -> Path:
    return Path(settings.CUSTODY_KEYS)


def private_file(folder: Path, key_id: str) -> Path:
    return folder / f"signing-{key_id}.pem"


def command(capsys: pytest.CaptureFixture[str], name: str, *arguments: str) -> dict[str, Any]:
    call_command(name, *arguments, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def issue(subject: str = "orders") -> Certificate:
    return certificate_issue(kind="disposition", subject=subject, body={"rows": 1}, run=None)


def vouchers(key: SigningKey) -> list[tuple[str, str, set[str]]]:
    """Of each statement of a key's end: why, which key followed, and whose signature fits."""
    found = []
    for each in key.statements:
        said = each["statement"]
        public = {side["key_id"]: side["public_key"] for side in (said["old"], said["new"])}
        for key_id, signature in each["signatures"].items():
            assert keys.signature_fits(canonical(said), signature, public[key_id])
        found.append((said["ended"], said["new"]["key_id"], set(each["signatures"])))
    return found


def test_a_rotated_key_vouches_for_the_new_one_and_its_private_half_is_gone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, signature = issue(), keys.sign(b"before")
    done = command(capsys, "key_rotate", "--reason", "every year")
    new, old = keys.current_key(), SigningKey.objects.get(key_id=signature.key_id)
    assert done["key"]["key_id"] == new.key_id != old.key_id
    assert done["made"] is True
    assert done["destroyed"] == [str(private_file(folder, old.key_id))]
    assert [path.name for path in folder.glob("*.pem")] == [private_file(folder, new.key_id).name]
    assert (old.ended, old.reason) == ("rotated", "every year")
    assert old.retired_at is not None
    assert vouchers(old) == [("rotated", new.key_id, {old.key_id, new.key_id})]
    assert keys.verify(b"before", signature.signature_b64, old.key_id)
    assert certificate_check(before).valid
    assert certificate_check(issue("more")).key_id == new.key_id


def test_a_lost_key_is_retired_without_its_word_by_the_next_signature_and_by_rotation(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = issue().key
    private_file(folder, first.key_id).unlink()
    with pytest.raises(CommandError, match="put it back from its copy") as caught:
        call_command("key_list")
    assert caught.value.returncode == 1
    capsys.readouterr()
    second = keys.current_key()
    first.refresh_from_db()
    assert first.ended == "lost"
    assert vouchers(first) == [("lost", second.key_id, {second.key_id})]
    private_file(folder, second.key_id).unlink()
    done = command(capsys, "key_rotate")
    second.refresh_from_db()
    assert [each["state"] for each in done["ended"]] == ["lost"]
    assert vouchers(second) == [("lost", done["key"]["key_id"], {done["key"]["key_id"]})]
    assert certificate_check(Certificate.objects.get()).valid


def test_what_a_leaked_key_signed_since_is_not_believed_and_what_it_signed_before_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early, late = issue("early"), issue("late")
    leaked = keys.current_key()
    moved = timezone.now().replace(microsecond=0) - timedelta(hours=1)
    body = {**early.body, "issued_at": (moved - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
    document = {
        "certificate": body,
        "signature": keys.sign(canonical(body)).signature_b64,
        "public_key": leaked.public_key,
    }
    done = command(
        capsys,
        "key_rotate",
        *(
            "--compromised",
            leaked.key_id,
            "--since",
            moved.isoformat(),
            "--reason",
            "laptop stolen",
        ),
    )
    assert done["key"]["key_id"] != leaked.key_id
    assert [each["state"] for each in done["ended"]] == ["compromised"]
    assert not private_file(folder, leaked.key_id).exists()
    leaked.refresh_from_db()
    assert vouchers(leaked) == [("compromised", done["key"]["key_id"], {done["key"]["key_id"]})]
    found = certificate_check(Certificate.objects.get(pk=late.pk))
    said = (
        f"It was signed on {late.issued_at.isoformat()} by the key {leaked.key_id}, which counts "
        f"as leaked since {moved:%Y-%m-%d %H:%M:%S} UTC: anybody may have signed it."
    )
    assert found.problems == (said,)
    path = folder.parent / "early.json"
    path.write_text(json.dumps(document))
    assert "Our certificate" in certificate_check(path).problems[0]
    assert len(certificate_check(path).problems) == 1, "of its time the key is believed"
    assert keys_compromised() == {leaked.key_id: moved}
    assert key_doubt(keys.current_key(), "2030-01-01T00:00:00Z") == ""
    assert key_doubt(leaked, "no time at all") != ""


def test_that_a_retired_key_leaked_is_said_later_and_never_narrowed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = keys.current_key()
    command(capsys, "key_rotate")
    current = keys.current_key()
    for since in ("2026-03-01", "2026-02-01", "2026-09-01"):
        done = command(
            capsys, "key_rotate", "--compromised", old.key_id, "--since", since, "--reason", "found"
        )
        assert (done["made"], done["key"]["key_id"]) == (False, current.key_id)
    old.refresh_from_db()
    assert old.compromised_since is not None
    assert timezone.localtime(old.compromised_since).date().isoformat() == "2026-02-01"
    assert [ended for ended, _, _ in vouchers(old)] == ["rotated", *["compromised"] * 3]
    assert keys.current_key() == current


def test_a_dry_run_and_what_cannot_be_change_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = keys.current_key()
    path = private_file(folder, key.key_id)
    done = command(capsys, "key_rotate", "--dry-run")
    assert done["made"] is True
    assert done["destroyed"] == [str(path)]
    ahead = (timezone.now() + timedelta(days=1)).isoformat()
    for arguments, said in (
        (["--compromised", key.key_id], "go together"),
        (["--compromised", "0" * 16, "--since", "2026-01-01", "--reason", "x"], "key_list"),
        (["--compromised", key.key_id, "--since", "soon", "--reason", "x"], "write 2026-11-25"),
        (["--compromised", key.key_id, "--since", ahead, "--reason", "x"], "not come yet"),
        (["--compromised", key.key_id, "--since", "2026-01-01"], "--reason"),
    ):
        with pytest.raises(CommandError, match=said) as caught:
            call_command("key_rotate", *arguments)
        assert caught.value.returncode == 2
    assert list(folder.glob("*.pem")) == [path]
    found = SigningKey.objects.get()
    assert (found.retired_at, found.statements, found.compromised_since) == (None, [], None)


def test_the_list_tells_what_each_key_signed_and_what_to_print(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(capsys, "key_list") == {"keys": []}
    first = issue().key
    command(capsys, "key_rotate")
    issue("b"), issue("c")
    second = keys.current_key()
    rows = command(capsys, "key_list")["keys"]
    assert [(row["key_id"], row["state"], row["signed"]["certificates"]) for row in rows] == [
        (first.key_id, "retired", 1),
        (second.key_id, "current", 2),
    ]
    assert [row["file"] for row in rows] == [None, str(private_file(folder, second.key_id))]
    assert rows[1]["fingerprint"].startswith(second.key_id)
    assert len(rows[1]["fingerprint"]) == 64
    call_command("key_list")
    shown = capsys.readouterr().out
    assert " ".join(rows[1]["fingerprint"][n : n + 4] for n in range(0, 64, 4)) in shown
    assert set(key_uses.key_uses(second.key_id)) >= {"certificates", "blocks"}


ROTATE = """
from operations.services.key_rotate import key_rotate

os.write(1, b"on\\n")
while True:
    key_rotate(reason="again")
"""


def test_killed_at_any_moment_there_is_one_key_that_signs(folder: Path) -> None:
    keys.sign(b"x")
    for delay in (0.001, 0.01, 0.05, 0.11):
        with start(ROTATE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            with pytest.raises(TimeoutExpired):
                child.wait(timeout=delay)
            os.kill(child.pid, signal.SIGKILL)
        signature = keys.sign(b"after")
        assert keys.verify(b"after", signature.signature_b64, signature.key_id)
        assert SigningKey.objects.filter(retired_at=None).count() == 1
        for key in SigningKey.objects.exclude(retired_at=None):
            assert key.ended == "rotated"
            assert len(base64.b64decode(key.public_key)) == 32
