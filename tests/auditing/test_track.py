"""Beginning, adjusting and ending an audit, by command."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from auditing.exceptions import TableBusy
from auditing.models import AuditEvent, TrackedTable
from auditing.services import brief_lock
from auditing.services.track import table_track
from auditing.services.untrack import table_untrack

pytestmark = pytest.mark.django_db(transaction=True)

Execute = Callable[..., list[tuple[Any, ...]]]


def refusal(*arguments: str, **options: Any) -> tuple[int, str]:
    with pytest.raises(CommandError) as told:
        call_command(*arguments, **options)
    return told.value.returncode, str(told.value)


def test_a_table_is_tracked_with_its_rows_and_untracked_with_its_history_kept(
    governed: str, execute: Execute, capsys: pytest.CaptureFixture[str]
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text, secret text, seen int)")
    execute("INSERT INTO app.things SELECT n, 'x', 'y', 0 FROM generate_series(1, 100) n")
    call_command("audit_track", "app.things", mask=["secret"], exclude=["seen"], reason="audit")
    told = capsys.readouterr().out
    assert "app.things is audited. Its history is history.app__things." in told
    assert "The baseline has 100 rows." in told
    call_command("audit_status", json=True)
    (shown,) = json.loads(capsys.readouterr().out)["tables"]
    assert (shown["ok"], shown["masked"], shown["excluded"]) == (True, ["secret"], ["seen"])
    call_command("audit_untrack", "app.things", reason="over")
    execute("UPDATE app.things SET name = 'z'")
    execute("TRUNCATE app.things")
    assert execute("SELECT op, count(*) FROM history.app__things GROUP BY op") == [("B", 100)]
    assert list(AuditEvent.objects.order_by("id").values_list("kind", "reason")) == [
        ("track", "audit"),
        ("untrack", "over"),
    ]


def test_a_table_audited_again_begins_a_history_of_its_own(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY, name text)")
    first = table_track("app.things", actor=person, reason="first")
    execute("INSERT INTO app.things VALUES (1, 'a')")
    table_untrack(first, actor=person, reason="over")
    execute("UPDATE app.things SET name = 'unseen'")
    second = table_track("app.things", actor=person, reason="second")
    execute("UPDATE app.things SET name = 'seen'")
    assert first.history_name != second.history_name
    assert execute(f'SELECT op, "2_name" FROM history."{second.history_name}" ORDER BY seq') == [
        ("B", "unseen"),
        ("U", "seen"),
    ]


@pytest.mark.parametrize(
    ("make", "code", "remedy"),
    [
        ("CREATE TABLE app.t (a int)", 3, "ADD COLUMN id bigint"),
        ("CREATE TABLE app.t (a int UNIQUE)", 3, "NOT NULL"),
        ("CREATE VIEW app.t AS SELECT 1 AS id", 2, "There is no table"),
    ],
)
def test_what_cannot_be_audited_is_refused_with_the_remedy(
    governed: str, execute: Execute, make: str, code: int, remedy: str
) -> None:
    execute(make)
    returncode, told = refusal("audit_track", "app.t")
    assert returncode == code
    assert remedy in told
    assert not TrackedTable.objects.exists()


def test_partitions_unknown_columns_and_tables_of_the_audit_are_refused(
    governed: str, execute: Execute
) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY, a int) PARTITION BY RANGE (id)")
    execute("CREATE TABLE app.t1 PARTITION OF app.t FOR VALUES FROM (0) TO (9)")
    assert refusal("audit_track", "app.t1")[0] == 3
    assert refusal("audit_track", "app.t", mask=["b"]) == (
        2,
        "app.t has no column b. It has: id, a.",
    )
    assert refusal("audit_track", "app.t", exclude=["id"])[0] == 2
    assert refusal("audit_track", "app.t", exclude=["a"], significant=["a"])[0] == 2
    assert refusal("audit_track", "custody.auditing_layout")[0] == 3
    assert refusal("audit_track", "custody.django_session")[0] == 3
    assert refusal("audit_untrack", "app.t")[0] == 2
    call_command("audit_track", "app.t")
    assert refusal("audit_track", "app.t")[0] == 3


def test_a_dry_run_changes_nothing(
    governed: str, execute: Execute, capsys: pytest.CaptureFixture[str]
) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY)")
    call_command("audit_track", "app.t", dry_run=True)
    assert "by its key (id)" in capsys.readouterr().out
    assert not TrackedTable.objects.exists()
    assert execute("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'app.t'::regclass") == [(0,)]


def test_a_table_in_use_is_not_waited_for_and_nobody_waits_for_us(
    governed: str,
    execute: Execute,
    person: User,
    other_session: Callable[[], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(brief_lock, "ATTEMPTS", 2)
    monkeypatch.setattr(brief_lock, "LOCK_SECONDS", 0.2)
    execute("CREATE TABLE app.t (id int PRIMARY KEY)")
    session = other_session()
    session.execute("BEGIN")
    session.execute("INSERT INTO app.t VALUES (1)")
    with pytest.raises(TableBusy):
        table_track("app.t", actor=person, reason="test")
    assert not TrackedTable.objects.exists()
    assert execute("SELECT to_regclass('history.app__t')") == [(None,)]
    session.execute("COMMIT")
    table_track("app.t", actor=person, reason="test")


def test_names_that_are_alike_or_too_long_have_histories_of_their_own(
    governed: str, execute: Execute, person: User
) -> None:
    long = "n" * 63
    for name in ("b", long, long[:-1] + "m", "ä" * 31):
        execute(f'CREATE TABLE app."{name}" (id int PRIMARY KEY)')
        tracked = table_track(f'app."{name}"', actor=person, reason="test")
        execute(f'INSERT INTO app."{name}" VALUES (1)')
        assert execute(f'SELECT op, "1_id" FROM history."{tracked.history_name}"') == [("I", 1)]
    names = set(TrackedTable.objects.values_list("history_name", flat=True))
    assert len(names) == 4
    assert all(len(name.encode()) <= 46 for name in names)
