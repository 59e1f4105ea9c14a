"""Evidence: what is exported, that an examiner can verify it alone, and what it keeps to itself."""

from __future__ import annotations

import ast
import csv
import io
import json
import resource
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from auditing.services.audit_seal import audit_seal
from auditing.services.baseline import baseline_run
from auditing.services.evidence_export import (
    evidence_export,
    evidence_fetch,
    evidence_request,
)
from auditing.services.evidence_forget import evidence_forget
from auditing.services.evidence_write import VERIFIER
from auditing.services.track import table_track
from operations.catalogue.types import TableName
from operations.copies import remaining_copies
from operations.models import Run
from operations.selectors.keys import fingerprint
from operations.services.key_rotate import key_rotate
from operations.services.run_execute import run_execute
from operations.services.runs import run_resume
from operations.storage import storage, write_once
from tests.auditing.evidence_kit import examine, lines_of, members_of

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
HISTORY = "rows/history.app__orders.jsonl"


@pytest.fixture
def orders(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total numeric(10,2), note text)")
    execute("INSERT INTO app.orders SELECT n, n, 'found-' || n FROM generate_series(1, 5) n")
    tracked = table_track("app.orders", actor=person, reason="the law")
    baseline_run(tracked, requester=person)
    with_reason(execute, "the rent rose", "UPDATE app.orders SET total = 99 WHERE id = 1")
    audit_seal()
    execute("INSERT INTO app.orders SELECT n, n, 'new-' || n FROM generate_series(11, 50) n")
    execute("UPDATE app.orders SET note = E'tab\\t, line\\n, \\\\ and ü' WHERE id = 2")
    audit_seal()
    execute("DELETE FROM app.orders WHERE id = 3")


def with_reason(execute: Execute, reason: str, statement: str) -> None:
    said = f"custody.set_context('4711', '{reason}', 'ada@example.org')"
    execute(f"BEGIN; SELECT {said}; {statement}; COMMIT")


def exported(person: User, out: Path, **choice: Any) -> dict[str, Any]:
    choice = {"since": None, "until": None, "tables": ["app.orders"], **choice}
    run = evidence_export(requester=person, reason="the court asked", out=out, **choice)
    assert run.state == "succeeded", run.error
    return dict(run.result)


def test_all_of_a_table_is_verified_alone_and_nothing_of_it_is_missing(
    execute: Execute, orders: None, person: User, tmp_path: Path
) -> None:
    done = exported(person, tmp_path / "e.zip")
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 0, said
    assert said.endswith("YES: it is what was sealed and signed.\n")
    [(count,)] = execute("SELECT count(*) FROM history.app__orders")
    assert done["versions"] == count == 5 + 1 + 40 + 1 + 1
    assert f"rows    {count} of history.app__orders" in said
    assert f"whole   blocks 1 to {done['blocks']} of history.app__orders" in said
    assert done["complete"] == [["history.app__orders", 1, done["blocks"]]]
    for source in ("changestatement", "changetransaction", "changecontext", "auditevent"):
        assert f"of custody.auditing_{source}\n" in said
    assert done["altered"] == []
    members = members_of(tmp_path / "e.zip")
    rows = list(csv.reader(io.StringIO(members["summary/app.orders.csv"].decode(), newline="")))
    head = {name: place for place, name in enumerate(rows[0])}
    assert list(head)[-3:] == ["id", "total", "note"]
    changed = next(row for row in rows if row[head["why"]] == "the rent rose")
    shown = {name: changed[head[name]] for name in ("what", "record", "who", "said by", "changed")}
    assert shown == {
        "what": "Update",
        "record": "1",
        "who": "app:4711",
        "said by": "the console",
        "changed": "total",
    }
    assert changed[-3:] == ["1", "99.00", "found-1"]
    assert any(row[-1] == "tab\t, line\n, \\ and ü" for row in rows)
    page = members["summary.html"].decode()
    assert "<td>the rent rose</td><td></td><td>total</td><td>total: 99.00</td>" in page
    assert "<td>id: 4; total: 4.00; note: found-4</td>" in page


def test_of_one_record_nothing_of_the_others_is_in_it(
    execute: Execute, orders: None, person: User, tmp_path: Path
) -> None:
    done = exported(person, tmp_path / "e.zip", record="2")
    assert (done["versions"], done["complete"]) == (2, [])
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 0, said
    assert "rows    2 of history.app__orders" in said
    members = members_of(tmp_path / "e.zip")
    everything = b"\n".join(members.values())
    assert b"found-2" in everything
    for other in [*(f"found-{n}" for n in (1, 3, 4, 5)), *(f"new-{n}" for n in range(11, 51))]:
        assert other.encode() not in everything
    for secret in (b"the rent rose", b"ada@example.org", b"app:4711"):
        assert secret not in everything, "of a context of other records"


def test_by_time_what_is_at_the_edges_is_proved_and_not_said_to_be_whole(
    execute: Execute, orders: None, person: User, tmp_path: Path
) -> None:
    [(first, last)] = execute("SELECT min(at), max(at) FROM history.app__orders WHERE op = 'I'")
    done = exported(person, tmp_path / "e.zip", since=first, until=last + timedelta(microseconds=1))
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 0, said
    assert done["versions"] == 40
    assert done["complete"] == [], "its block has a later change"
    done = exported(person, tmp_path / "f.zip", since=last + timedelta(microseconds=1))
    assert done["versions"] == 2
    assert examine(tmp_path / "f.zip", alone=tmp_path)[0] == 0
    done = exported(person, tmp_path / "g.zip", since=first)
    assert done["complete"] == [["history.app__orders", 2, done["blocks"]]]
    assert examine(tmp_path / "g.zip", alone=tmp_path)[0] == 0
    none = exported(person, tmp_path / "h.zip", since=timezone.now() + timedelta(days=1))
    assert none["versions"] == 0
    assert examine(tmp_path / "h.zip", alone=tmp_path)[0] == 0


def test_after_keys_were_rotated_and_lost_old_blocks_verify(
    execute: Execute, orders: None, person: User, tmp_path: Path, settings: Any
) -> None:
    audit_seal()
    rotated = key_rotate(reason="every year")
    execute("INSERT INTO app.orders VALUES (61, 1, 'after')")
    audit_seal()
    first, second = rotated.old[0], rotated.new
    assert second is not None
    exported(person, tmp_path / "e.zip")
    for key in (second.public_key, fingerprint(first.public_key)):
        code, said = examine(tmp_path / "e.zip", "--key", key, alone=tmp_path)
        assert code == 0, said
        assert "you gave" in said
    (tmp_path / "keys" / f"signing-{second.key_id}.pem").unlink()
    execute("INSERT INTO app.orders VALUES (62, 1, 'later')")
    exported(person, tmp_path / "f.zip")
    code, said = examine(tmp_path / "f.zip", alone=tmp_path)
    assert code == 0, said
    code, said = examine(tmp_path / "f.zip", "--key", second.public_key, alone=tmp_path)
    assert code == 1
    assert "nothing connects its key" in said, "a lost key does not vouch for what follows it"


def test_what_is_not_what_was_sealed_is_told_by_the_command_and_by_the_verifier(
    execute: Execute, orders: None, person: User, tmp_path: Path, capsys: Any
) -> None:
    audit_seal()
    execute("UPDATE history.app__orders SET db_user = 'nobody' WHERE op = 'D'")
    with pytest.raises(CommandError, match="not what was sealed") as caught:
        call_command(
            "evidence_export",
            *("--out", str(tmp_path / "e.zip"), "--reason", "court", "--table", "app.orders"),
        )
    assert caught.value.returncode == 1
    assert "Not what was sealed: history.app__orders, seq" in capsys.readouterr().out
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 1
    assert "was changed, or added: not as sealed" in said


def test_who_exported_what_and_why_is_on_record_and_no_copy_stays(
    orders: None, person: User, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "e.zip"
    call_command(
        "evidence_export",
        *("--table", "app.orders", "--record", "2", "--from", "2020-01-01", "--to", "2099-01-01"),
        *("--reason", "case 2031-17", "--out", str(out), "--json"),
    )
    document = json.loads(capsys.readouterr().out)
    run = Run.objects.get(pk=document["run"]["id"])
    assert (run.kind, run.subject, run.reason) == (
        "evidence_export",
        "app.orders 2",
        "case 2031-17",
    )
    manifest = json.loads(members_of(out)["manifest.json"])["manifest"]
    assert manifest["asked"]["reason"] == "case 2031-17"
    assert manifest["asked"]["from"].startswith("2020-01-01T00:00:00")
    assert document["evidence"]["sha256"]
    assert list(storage().list("evidence/")) == []
    with pytest.raises(CommandError, match="is there already") as caught:
        call_command("evidence_export", "--reason", "x", "--out", str(out))
    assert caught.value.returncode == 2
    for arguments, said in (
        (["--record", "2", "--reason", "x"], "one --table"),
        (["--table", "app.orders"], "--reason"),
        (["--table", "app.orders", "--record", "two", "--reason", "x"], "no key of"),
        (["--from", "2026-02-01", "--to", "2026-01-01", "--reason", "x"], "before --to"),
        (["--table", "app.nothing", "--reason", "x"], "app.nothing"),
    ):
        with pytest.raises(CommandError, match=said) as caught:
            call_command("evidence_export", *arguments)
        assert caught.value.returncode in (1, 2)


def test_the_verifier_is_one_short_file_for_old_pythons_and_the_zip_has_it() -> None:
    source = VERIFIER.read_text()
    assert len(source.splitlines()) < 300
    tree = ast.parse(source, feature_version=(3, 8))
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) == {"cryptography"}


def test_ten_thousands_of_versions_are_streamed_and_dense_blocks_have_no_paths(
    execute: Execute, person: User, tmp_path: Path
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total numeric(10,2), note text)")
    table_track("app.orders", actor=person, reason="the law")
    execute("INSERT INTO app.orders SELECT n, n, repeat('x', 100) FROM generate_series(1, 20000) n")
    audit_seal()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = exported(person, tmp_path / "e.zip")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert done["versions"] == 20_000
    assert grown < 120 * 1024, "KiB: a block at a time"
    lines = lines_of(members_of(tmp_path / "e.zip"), HISTORY)
    assert sum("leaves" in line for line in lines) == 2
    assert sum("proof" in line for line in lines if "leaf" in line) == 0
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 0, said


def test_what_nobody_fetched_is_named_among_the_copies_and_goes_after_its_time(
    orders: None, person: User
) -> None:
    run = evidence_export(
        since=None,
        until=None,
        tables=["app.orders"],
        requester=person,
        reason="the court asked",
    )
    file = run.result["file"]
    told = remaining_copies(TableName("app", "orders"), using="default")
    assert sum(f"Evidence that run {run.pk} exported" in each for each in told) == 1
    assert evidence_forget() == []
    assert list(storage().list("evidence/")) == [file]
    over = (timezone.now() - timedelta(seconds=1)).isoformat()
    Run.objects.filter(pk=run.pk).update(result={**run.result, "kept_until": over})
    assert evidence_forget() == [file]
    assert list(storage().list("evidence/")) == []
    assert evidence_forget() == []
    told = remaining_copies(TableName("app", "orders"), using="default")
    assert not any("Evidence" in each for each in told)


def test_a_worker_that_dies_in_an_export_leaves_nothing_half_and_the_next_one_ends_it(
    orders: None, person: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = evidence_request(
        since=None, until=None, tables=["app.orders"], requester=person, reason="court"
    )

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("auditing.services.evidence_write._Writer._manifest", dies)
        with pytest.raises(KeyboardInterrupt):
            run_execute(run_id=run.pk)
    assert list(storage().list("evidence/")) == []
    assert list(storage().list_drafts("evidence/")) == []
    # As if it had been killed after the file was whole, and before it could say so.
    write_once(storage(), f"evidence/evidence-{run.pk}-{run.plan_hash[:8]}.zip", b"of another")
    run = run_resume(run_id=run.pk, actor=person)
    run = run_execute(run_id=run.pk)
    assert run.state == "succeeded"
    evidence_fetch(run, tmp_path / "e.zip")
    code, said = examine(tmp_path / "e.zip", alone=tmp_path)
    assert code == 0, said
