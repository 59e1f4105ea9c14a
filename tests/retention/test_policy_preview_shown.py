"""What a preview shows: rows nobody can be told from, what refers to them, the command, copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from operations import copies
from operations.catalogue.read import table
from operations.catalogue.types import TableName
from retention.models import HeldRow, HoldScope, LegalHold, RetentionPolicy
from retention.preview_presenting import preview_facts
from retention.selectors import preview_rows
from retention.selectors.hold_scopes import scope_shape
from retention.services.purge_preview import policy_preview
from retention.services.purge_start import purge_run

from .previewing import CONDITION, held, told, unsaved
from .purging import make_events, make_policy, ran

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


def test_rows_are_shown_so_that_nobody_can_be_told_from_them(execute: Execute) -> None:
    execute(
        "CREATE TABLE app.people (email text PRIMARY KEY, id int, name text, kind text,"
        " phone bigint, seen_from inet, born date, profile jsonb, tags text[], photo bytea,"
        " created_at timestamptz)"
    )
    execute(
        "INSERT INTO app.people SELECT 'lovelace' || n || '@example.org', n,"
        " 'Augusta Lovelace', 'customer', 441712345678 + n, '203.0.113.9', '1815-12-10',"
        " jsonb_build_object('city', 'Marylebone', 'mail', 'lovelace@example.org', 'n', n),"
        " ARRAY['Byron', 'Annabella'], '\\x4c6f76656c616365', now() - n * interval '1 day'"
        " FROM generate_series(1, 100) n"
    )
    preview = policy_preview(policy=unsaved("people", keep_hours=24 * 20))
    assert preview.samples is not None
    text = json.dumps(preview.to_json())
    personal = (
        "lovelace", "example.org", "Augusta", "4417123", "203.0", "1815", "Marylebone", "Byron",
        "Annabella", "4c6f76",
    )  # fmt: skip
    assert [value for value in personal if value.lower() in text.lower()] == []
    rows = [dict(zip(preview.samples.columns, row, strict=True)) for row in preview.samples.rows]
    assert [row["id"] for row in rows[:4]] == ["100", "99", "98", "97"]
    assert [row["id"] for row in rows[-3:]] == ["22", "21", "20"]
    assert 7 <= len(rows) <= 10
    assert rows[0]["email"] == "l***@e***.org"
    assert rows[0]["kind"] == "customer"
    assert rows[0]["phone"] == "***"
    assert preview.samples.more_columns == 3
    # And no row at all is among the facts that are stored with a run.
    facts = preview_facts(preview)
    assert "samples" not in facts
    assert json.loads(json.dumps(facts)) == facts


def test_rows_of_a_large_table_are_shown_from_a_sample(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(execute, due=3000)
    monkeypatch.setattr(preview_rows, "SMALL", 0)
    samples = policy_preview(policy=unsaved()).samples
    assert samples is not None
    assert samples.from_sample
    assert samples.rows
    execute("CREATE INDEX ON app.events (created_at)")
    execute("ANALYZE app.events")
    samples = policy_preview(policy=unsaved()).samples
    assert samples is not None
    assert not samples.from_sample
    assert samples.rows[0][0] == "3000"
    assert samples.rows[-1][0] == "1"


def test_what_refers_to_the_table_is_told_with_the_index_it_lacks(execute: Execute) -> None:
    make_events(execute, due=50)
    execute(
        "CREATE TABLE app.notes (id int PRIMARY KEY, event bigint REFERENCES app.events);"
        'CREATE TABLE app."Foot notes" (note int REFERENCES app.notes);'
        "CREATE TABLE app.likes (event bigint REFERENCES app.events);"
        "CREATE INDEX ON app.likes (event);"
        "CREATE TABLE app.views (at int, event bigint REFERENCES app.events ON DELETE CASCADE)"
        " PARTITION BY RANGE (at);"
        "CREATE TABLE app.views_1 PARTITION OF app.views FOR VALUES FROM (0) TO (10);"
        "INSERT INTO app.notes SELECT n, n FROM generate_series(1, 55) n;"
        'INSERT INTO app."Foot notes" SELECT n / 2 + 1 FROM generate_series(1, 40) n;'
        "INSERT INTO app.likes SELECT n % 10 + 45 FROM generate_series(1, 40) n;"
        "INSERT INTO app.views SELECT 1, 7 FROM generate_series(1, 9) n"
    )
    terms = unsaved(dependents=[["app", "notes"], ["app", "Foot notes"]])
    preview = policy_preview(policy=terms)
    found = {
        (str(each.key.table), each.depth): (each.action, str(each.rows), each.index)
        for each in preview.dependents
    }
    assert found["app.likes", 1][::2] == ("keeps the row", ())
    assert found["app.notes", 1][::2] == (
        "goes along",
        ("CREATE INDEX CONCURRENTLY ON app.notes (event);",),
    )
    assert found['app."Foot notes"', 2][::2] == (
        "goes along",
        ('CREATE INDEX CONCURRENTLY ON app."Foot notes" (note);',),
    )
    assert found["app.views", 1] == (
        "refused",
        "9",
        (
            "CREATE INDEX CONCURRENTLY ON app.views_1 (event);",
            "CREATE INDEX ON app.views (event);",
        ),
    )
    assert found["app.likes", 1][1] == "24"
    assert len(found) == 4
    assert any("cascade into app.views" in refusal for refusal in preview.refusals)
    for each in preview.unindexed:
        for statement in each.index:
            execute(statement)
    assert policy_preview(policy=terms).unindexed == ()


def test_an_empty_table_has_nothing_to_show(execute: Execute) -> None:
    make_events(execute, due=0, fresh=0, ageless=0)
    preview = policy_preview(policy=unsaved())
    assert preview.counts is not None
    assert str(preview.counts.total) == "0"
    assert preview.cautions == ()
    assert preview.samples is not None
    assert preview.samples.rows == ()


def test_the_command_tells_all_of_it(execute: Execute) -> None:
    make_events(execute, due=40, fresh=5)
    execute("CREATE TABLE app.notes (event bigint REFERENCES app.events)")
    execute("INSERT INTO app.notes VALUES (1)")
    make_policy(keep_condition={**CONDITION, "value": "", "operator": "="})
    out = StringIO()
    with held({"hold 1": "t.id > 35"}):
        call_command("policy_preview", "events", stdout=out)
        document = told("events")["preview"]
    text = " ".join(out.getvalue().split())
    for words in (
        "events, version 1: app.events, kept for 365 days, then archived",
        "Past their term 40",
        "Kept by the condition 10",
        "Kept, condition unknown 10",
        "Held 2",
        "hold 1 2",
        "Due 18",
        "CREATE INDEX CONCURRENTLY ON app.notes (event);",
        "Backups and write-ahead log",
        "Nothing was changed.",
    ):
        assert words in text
    assert document["counts"]["due"]["value"] == 18
    assert document["held_by"][0]["by"] == "hold 1"
    assert document["unindexed_foreign_keys"] == ["notes_event_fkey"]
    with pytest.raises(CommandError) as unknown:
        call_command("policy_preview", "nothing", stdout=StringIO())
    assert unknown.value.returncode == 2


def test_named_rows_are_told_by_case(execute: Execute, person: User) -> None:
    make_events(execute, due=100)
    shape = scope_shape(table("app.events"), None, using="default")
    for case, ids in {"A": range(1, 4), "B": range(3, 10)}.items():
        hold = LegalHold.objects.create(case_id=case, reason="court", placed_by=person)
        scope = HoldScope.objects.create(
            hold=hold,
            schema_name="app",
            table_name="events",
            kind=HoldScope.Kind.ROWS,
            shape=shape,
            added_by=person,
        )
        HeldRow.objects.bulk_create(HeldRow(scope=scope, record_id=str(n)) for n in ids)
    counts = policy_preview(policy=unsaved()).counts
    assert counts is not None
    assert {by: each.value for by, each in counts.held_by} == {"hold A": 3, "hold B": 7}
    assert counts["held"].value == 9


def test_a_file_is_previewed_before_it_is_imported(execute: Execute, tmp_path: Path) -> None:
    make_events(execute, due=30, fresh=5)
    file = tmp_path / "policies.yaml"
    file.write_text("- {table: app.events, retentionDays: 90, excludeCondition: id <= 10}")
    preview = told("--file", str(file))["preview"]
    assert (preview["due"], preview["counts"]["kept"]["value"]) == (20, 10)
    assert preview["policy_version"] is None
    assert not RetentionPolicy.objects.exists()
    for arguments in ([], ["events", "--file", str(file)]):
        with pytest.raises(CommandError) as wrong:
            call_command("policy_preview", *arguments, stdout=StringIO())
        assert wrong.value.returncode == 2


def test_a_dry_run_tells_the_same_in_short(execute: Execute) -> None:
    make_events(execute, due=30, fresh=0, ageless=0)
    make_policy()
    make_policy("gone")
    out = StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("purge_run", "--dry-run", "--json", stdout=out)
    assert refused.value.returncode == 3
    document = json.loads(out.getvalue())
    assert document["plan"]["due"] == 30
    assert document["plan"]["walk"]["by"] == "ctid"
    assert document["refused"][0]["policy"] == "gone"
    out = StringIO()
    call_command("purge_run", "events", "--dry-run", stdout=out)
    text = " ".join(out.getvalue().split())
    assert "events app.events 30 0 0 archived" in text
    assert "CAUTION: Every row of app.events is due (30)" in text


def test_the_certificate_names_the_same_copies(execute: Execute, person: User) -> None:
    make_events(execute, due=5)
    policy = make_policy()

    def on_tape(table: TableName, *, using: str) -> Iterator[str]:
        yield f"A copy of {table} on tape."

    copies.register("test", on_tape)
    try:
        told_before = policy_preview(policy=policy).remains[1:]
        run = ran(purge_run(policy=policy, requester=person))
    finally:
        copies.unregister("test")
    (certificate,) = run.certificates.all()
    assert certificate.body["body"]["copies_that_remain"] == list(told_before)
    assert "A copy of app.events on tape." in told_before


def test_rows_that_stay_with_what_hangs_on_them_are_told_apart(execute: Execute) -> None:
    make_events(execute, due=50)
    execute(
        "CREATE TABLE app.notes (id int PRIMARY KEY, event bigint REFERENCES app.events);"
        "CREATE TABLE app.quotes (note int REFERENCES app.notes);"
        "INSERT INTO app.notes SELECT n, n FROM generate_series(1, 20) n;"
        "INSERT INTO app.quotes SELECT n FROM generate_series(1, 3) n;"
        "CREATE INDEX ON app.notes (event)"
    )
    preview = policy_preview(policy=unsaved(dependents=[["app", "notes"]]))
    assert preview.counts is not None
    assert preview.refusals == ()
    assert (str(preview.counts["bound"]), str(preview.due)) == ("3", "47")
    assert preview.to_json()["counts"]["bound"]["value"] == 3
    hurried = policy_preview(policy=unsaved(dependents=[["app", "notes"]]), seconds=1.0)
    assert "There was no time to find out how many do." in hurried.notes[0]
