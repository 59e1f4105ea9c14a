"""`manage.py doctor`: what is used, what is wrong, how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from config.doctor import files, processes
from config.doctor.database import Server, check_clock, check_reachable, check_safety, server_ask
from operations.models import Heartbeat, Run, ScheduledJob, SigningKey
from operations.selectors.heartbeats import SILENCE
from retention.models import RetentionPolicy

from .console import Console, findings, names_of_wrong

Execute = Callable[..., list[tuple[Any, ...]]]
NOBODY = "redis://:topsecret@localhost:1/0"


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.CUSTODY_VAR = tmp_path


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no worker here, for whose answer each doctor would wait."""
    monkeypatch.setattr(processes, "REPLY_SECONDS", 0.05)


def doctor() -> tuple[int, dict[str, Any]]:
    """Exit code and document."""
    out = StringIO()
    try:
        call_command("doctor", json=True, stdout=out)
    except CommandError as error:
        return error.returncode, json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def wrong() -> list[str]:
    return list(names_of_wrong(doctor()[1]))


def only(name: str) -> dict[str, Any]:
    [finding] = findings(doctor()[1], name)
    return finding


def test_a_console_that_is_well_gives_0(db: None, settings: Settings) -> None:
    code, document = doctor()
    assert (code, document["ok"], names_of_wrong(document)) == (0, True, [])
    assert document["database"]["url"] == settings.DATABASE_URL
    assert document["database"]["embedded"] is False
    assert int(document["database"]["version"].split(".")[0]) >= 15
    assert document["folders"]["storage"] == str(settings.CUSTODY_STORAGE)
    assert document["time_zone"] == "UTC"
    assert {"custody", "python", "django", "celery"} <= set(document["versions"])


def test_text_for_people_says_that_nothing_is_wrong(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("doctor")
    assert "Nothing is wrong." in capsys.readouterr().out


def test_an_unreachable_database_is_one_finding_among_all_others(tmp_path: Path) -> None:
    url = "postgresql://ada:p%2Fss-word@localhost:1/shop"
    console = Console(tmp_path, url, NOBODY)
    done = console.run("doctor")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for said in ("database", "storage", "key files", "Connection refused", "DATABASE_URL"):
        assert said in done.stdout
    assert "Wrong: database, broker." in done.stderr
    for secret in ("p%2Fss-word", "p/ss-word", "topsecret"):
        assert secret not in done.stdout + done.stderr

    document = console.document("doctor")
    assert document["database"]["url"] == url
    assert document["database"]["reachable"] is False
    assert document["ok"] is False
    del document["database"]["url"]
    for secret in ("p%2Fss-word", "p/ss-word", "topsecret"):
        assert secret not in json.dumps(document)
    assert "***" in document["broker"]["url"]


def test_an_embedded_database_that_cannot_start_is_reported_like_any_other(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9.6\n")
    console = Console(tmp_path)
    done = console.run("doctor")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "was made by PostgreSQL 9.6" in " ".join(done.stdout.split())
    assert "key files" in done.stdout


def test_a_server_that_is_too_old_or_a_standby_is_wrong() -> None:
    facts = {
        "version": "14.2", "major": 14, "name": "x", "role": "ada", "superuser": False,
        "standby": False,
    }  # fmt: skip
    [old] = check_reachable(Server(facts=facts))
    assert old.ok is False
    assert "15 or newer" in old.detail
    [standby] = check_reachable(Server(facts={**facts, "major": 16, "standby": True}))
    assert standby.ok is False
    assert "standby" in standby.detail


@pytest.mark.parametrize(
    ("offset", "ok", "said"),
    [(0.2, True, "agree"), (-4.9, True, "agree"), (6, False, "6 s ahead"), (-9, False, "behind")],
)
def test_clocks_more_than_5_s_apart_are_wrong(offset: float, ok: bool, said: str) -> None:
    [found] = check_clock(Server(clock_offset=offset))
    assert found.ok is ok
    assert said in found.detail


def test_the_clock_of_the_server_is_really_asked(db: None) -> None:
    assert abs(server_ask().clock_offset) < 1


def test_a_server_that_may_lose_commits_is_worth_a_note(db: None) -> None:
    server = replace(server_ask(), settings={"fsync": "off", "full_page_writes": "on"})
    [found] = check_safety(server)
    assert found.ok is None
    assert "fsync is off" in found.detail


def test_pending_migrations_are_wrong_and_what_needs_the_tables_is_not_looked_at(
    db: None, execute: Execute
) -> None:
    execute("DELETE FROM django_migrations WHERE app = 'retention'")
    code, document = doctor()
    assert code == 1
    assert names_of_wrong(document) == ["migrations"]
    [found] = findings(document, "migrations")
    assert "retention.0001_initial" in found["detail"]
    assert found["remedy"] == "manage.py migrate"
    assert findings(document, "grants")[0]["ok"] is None


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_a_process_that_went_silent_without_a_goodbye_is_wrong(db: None, name: str) -> None:
    now = timezone.now()
    Heartbeat.objects.create(name="worker", at=now)
    Heartbeat.objects.create(name="beat", at=now)
    Heartbeat.objects.filter(name=name).update(at=now - SILENCE - timedelta(seconds=1))
    assert wrong() == [name]
    assert "manage.py serve" in only(name)["remedy"]


def test_a_process_that_was_never_there_or_stopped_is_wrong_only_with_a_broker_of_one_s_own(
    db: None, settings: Settings
) -> None:
    Heartbeat.objects.create(name="beat", at=timezone.now() - timedelta(days=1), stopped=True)
    assert wrong() == []
    assert only("worker")["detail"].startswith("Never started")
    assert only("beat")["detail"].startswith("Stopped at")
    settings.CELERY_BROKER_URL = NOBODY
    assert set(wrong()) == {"worker", "beat", "broker"}


def test_processes_that_live_are_fine(db: None) -> None:
    for name in ("worker", "beat"):
        Heartbeat.objects.create(name=name, at=timezone.now() - timedelta(seconds=30))
    assert only("worker")["ok"] is True
    assert only("beat")["ok"] is True


def test_a_policy_whose_table_is_gone_is_wrong(db: None) -> None:
    policy("lost", "nowhere", "to_be_found")
    assert wrong() == ["policies"]
    assert "nowhere.to_be_found" in only("policies")["detail"]


def test_a_missed_job_of_the_night_is_wrong(db: None) -> None:
    ScheduledJob.objects.create(
        name="retention.purge_nightly", last_started_at=timezone.now() - timedelta(days=3)
    )
    assert wrong() == ["schedule"]
    assert "retention.purge_nightly was due at" in only("schedule")["detail"]
    assert "under Schedules" in only("schedule")["remedy"]


def test_a_run_that_nobody_takes_is_wrong(db: None, person: Any) -> None:
    run = Run.objects.create(kind="purge", subject="sessions", state="queued", requester=person)
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(minutes=6))
    assert wrong() == ["runs"]


def test_a_storage_that_takes_no_files_is_wrong(
    db: None, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "storage").symlink_to(tmp_path / "file")
    settings.CUSTODY_STORAGE = tmp_path / "storage"
    assert wrong() == ["storage"]


def test_the_doctor_makes_no_storage_folder(db: None, settings: Settings) -> None:
    assert only("storage")["ok"] is True
    assert not Path(settings.CUSTODY_STORAGE).exists()


def test_a_disk_that_is_nearly_full_is_worth_a_note(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LEAST_BYTES", 10**18)
    code, document = doctor()
    assert code == 0
    [found] = findings(document, "storage room")
    assert found["ok"] is None
    assert found["remedy"]


def test_keys_that_others_may_read_are_wrong(db: None, settings: Settings) -> None:
    folder = Path(settings.CUSTODY_KEYS)
    folder.mkdir(mode=0o700)
    key = folder / "signing-0123456789abcdef.pem"
    key.touch(mode=0o600)
    assert wrong() == []
    key.chmod(0o640)
    assert wrong() == ["key files"]
    assert only("key files")["remedy"] == f"chmod 600 {key}"
    key.chmod(0o600)
    folder.chmod(0o777)
    assert only("key files")["remedy"] == f"chmod 700 {folder}"


def test_a_signing_key_without_its_private_half_is_wrong(db: None) -> None:
    SigningKey.objects.create(key_id="0123456789abcdef", public_key="x")
    assert wrong() == ["signing key"]


def test_one_check_that_breaks_does_not_hide_the_others(db: None, settings: Settings) -> None:
    settings.CUSTODY_KEYS = Path("/dev/null/keys")
    settings.CUSTODY_STORAGE = object()
    code, document = doctor()
    assert code == 1
    assert names_of_wrong(document) == ["storage"]
    assert "could not be checked" in findings(document, "storage")[0]["detail"]
    assert findings(document, "broker")


def policy(name: str, schema: str, table: str) -> RetentionPolicy:
    return RetentionPolicy.objects.create(
        name=name,
        schema_name=schema,
        table_name=table,
        age_column="created_at",
        keep_hours=24,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
