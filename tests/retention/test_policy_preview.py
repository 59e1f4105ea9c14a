"""Before anything is destroyed, a person sees what would be, and what would not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from operations import copies
from operations.catalogue.read import table
from operations.catalogue.types import TableName
from operations.models import Run
from retention.exceptions import PreviewUnavailable
from retention.models import HeldRow, HoldScope, LegalHold, RetentionPolicy
from retention.preview_presenting import preview_facts
from retention.selectors import preview_counts, preview_rows
from retention.selectors.hold_scopes import scope_shape
from retention.services.purge_preview import policy_preview
from retention.services.purge_start import purge_run

from .previewing import CONDITION, held
from .purging import live, make_events, make_policy, ran

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


def unsaved(table: str = "events", **terms: Any) -> RetentionPolicy:
    given = {
        "name": table,
        "schema_name": "app",
        "table_name": table,
        "age_column": "created_at",
        "keep_hours": 24 * 365,
        **terms,
    }
    return RetentionPolicy(**given)


def told(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("policy_preview", *arguments, "--json", stdout=out)
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def test_terms_that_are_not_in_force_are_previewed_and_nothing_changes(execute: Execute) -> None:
    make_events(execute, due=120, fresh=30, ageless=5)
    before = live()
    terms = unsaved(archive_first=True, archive_days=3650, enabled=False)
    preview = policy_preview(policy=terms)
    assert live() == before
    assert not Run.objects.exists()
    assert not RetentionPolicy.objects.exists()
    document = preview.to_json()
    assert document["policy_version"] is None
    assert document["disposition"] == "archived for 3,650 days"
    assert {kind: each["value"] for kind, each in document["counts"].items()} == {
        "total": 155,
        "ageless": 5,
        "future": 0,
        "young": 30,
        "past": 120,
        "kept": 0,
        "undecided": 0,
        "held": 0,
        "referenced": 0,
        "due": 120,
    }
    assert document["method"] == "counted"
    assert document["refusals"] == []
    assert document["notes"] == ["The policy is not enabled: no purge takes its rows until it is."]
    assert document["walk"]["by"] == "ctid"
    assert document["took_seconds"] < 5
    until = timezone.localtime(timezone.now() + timedelta(days=3650))
    assert document["remains"][0] == f"The archive holds the rows until {until:%Y-%m-%d}."
    assert any("not audited" in copy for copy in document["remains"])
    assert len(document["remains"]) == 5


def test_each_case_says_how_many_rows_it_holds(execute: Execute, person: User) -> None:
    make_events(execute, due=100)
    for case, ids in {"2031-17": range(1, 31), "2031-18": range(21, 36)}.items():
        hold = LegalHold.objects.create(case_id=case, reason="court", placed_by=person)
        scope = HoldScope.objects.create(
            hold=hold,
            schema_name="app",
            table_name="events",
            kind=HoldScope.Kind.CONDITION,
            condition={"column": "id", "operator": "in", "value": list(ids)},
            added_by=person,
        )
        assert scope.table
    preview = policy_preview(policy=unsaved())
    assert preview.counts is not None
    assert {by: amount.value for by, amount in preview.counts.held_by} == {
        "hold 2031-17": 30,
        "hold 2031-18": 15,
    }
    assert preview.counts["held"].value == 35
    assert preview.counts["due"].value == 65


def test_a_table_that_is_held_as_a_whole_has_nothing_due(execute: Execute) -> None:
    make_events(execute, due=20)
    make_policy()
    with held({"the regulator": None}):
        preview = policy_preview(policy=unsaved())
        assert preview.due is not None
        assert preview.due.value == 0
        assert preview.refusals == ("app.events is held as a whole by the regulator.",)
        with pytest.raises(CommandError) as refused:
            told("events")
    assert refused.value.returncode == 3


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


def test_terms_that_would_empty_the_table_are_asked_twice(execute: Execute) -> None:
    make_events(execute, due=30, fresh=0, ageless=0)
    (caution,) = policy_preview(policy=unsaved()).cautions
    assert caution.kind == "empties"
    assert "Every row of app.events is due (30)" in caution.text
    execute("UPDATE app.events SET created_at = NULL WHERE id = 1")
    assert policy_preview(policy=unsaved()).cautions == ()


def test_a_large_table_that_would_be_emptied_is_found_out(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(execute, due=3000, fresh=0, ageless=0)
    monkeypatch.setattr(preview_counts, "SMALL", 0)
    monkeypatch.setattr(preview_counts, "SAMPLE", 20)
    monkeypatch.setattr(preview_counts, "_hopeless", lambda *_: True)
    preview = policy_preview(policy=unsaved())
    assert preview.due is not None
    assert preview.due.estimated
    assert [caution.kind for caution in preview.cautions] == ["empties"]
    # One row that stays is enough, in the sample or not.
    execute("UPDATE app.events SET created_at = now() WHERE id = 1500")
    assert policy_preview(policy=unsaved()).cautions == ()


def test_ages_in_the_future_are_asked_twice(execute: Execute) -> None:
    make_events(execute, due=30, fresh=10)
    execute("UPDATE app.events SET created_at = 'infinity' WHERE id = 40")
    execute("UPDATE app.events SET created_at = now() + interval '1 hour' WHERE id = 39")
    preview = policy_preview(policy=unsaved())
    assert [caution.kind for caution in preview.cautions] == ["future"]
    assert "1 rows of app.events are dated in the future, the latest infinity" in (
        preview.cautions[0].text
    )
    assert preview_facts(preview)["cautions"] == [preview.cautions[0].text]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("date", "(now() - n * interval '1 day')::date"),
        ("timestamp", "(now() - n * interval '1 day')::timestamp"),
        ("tstzrange", "tstzrange('-infinity', now() - n * interval '1 day')"),
        ("daterange", "daterange('-infinity', (now() - n * interval '1 day')::date)"),
    ],
)
def test_every_kind_of_age_is_counted(execute: Execute, type_: str, value: str) -> None:
    execute(f"CREATE TABLE app.stays (id int PRIMARY KEY, during {type_})")
    execute(f"INSERT INTO app.stays SELECT n, {value} FROM generate_series(0, 99) n")
    execute("INSERT INTO app.stays VALUES (100, NULL)")
    terms = unsaved("stays", age_column="during", keep_hours=24 * 40 + 12)
    preview = policy_preview(policy=terms)
    assert preview.counts is not None
    assert 58 <= preview.counts["due"].value <= 60
    assert preview.counts["ageless"].value == 1
    assert preview.samples is not None
    assert preview.samples.rows[0][0] == "99"
    assert preview.cautions == ()


def test_a_partitioned_table_is_counted_over_all_its_leaves(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(
        "CREATE TABLE app.hits (id int, created_at timestamptz) PARTITION BY RANGE (created_at);"
        "CREATE TABLE app.old PARTITION OF app.hits FOR VALUES FROM (MINVALUE) TO ('2020-01-01');"
        "CREATE TABLE app.rest PARTITION OF app.hits DEFAULT;"
        "INSERT INTO app.hits SELECT n, '2019-01-01' FROM generate_series(1, 5000) n;"
        "INSERT INTO app.hits SELECT n, now() FROM generate_series(1, 5000) n"
    )
    assert str(policy_preview(policy=unsaved("hits")).due) == "5,000"
    monkeypatch.setattr(preview_counts, "SMALL", 0)
    monkeypatch.setattr(preview_counts, "SAMPLE", 30)
    monkeypatch.setattr(preview_counts, "_hopeless", lambda *_: True)
    sampled = policy_preview(policy=unsaved("hits")).due
    assert sampled is not None
    assert 0 < sampled.low < 5000 < sampled.high


def test_time_and_room_are_told_by_what_earlier_runs_took(execute: Execute, person: User) -> None:
    make_events(execute, due=2500)
    policy = make_policy()
    before = policy_preview(policy=policy)
    assert before.duration is not None
    assert "for lack of runs" in before.duration.basis
    assert before.space.archive is None
    assert before.space.reusable is not None
    assert 2500 * 100 < before.space.reusable.value < 2500 * 2000
    run = ran(purge_run(policy=policy, requester=person))
    execute("UPDATE app.events SET created_at = now() - interval '9 years' WHERE id < 2521")
    after = policy_preview(policy=policy)
    assert after.duration is not None
    assert after.duration.basis == "the rate of the last run of this policy"
    assert after.duration.rows_a_second == pytest.approx(run.rate)
    assert after.space.archive is not None
    assert 0 < after.space.archive.value < 20 * 1000


def test_a_policy_that_keeps_for_ever_is_told_without_counting(execute: Execute) -> None:
    make_events(execute, due=10)
    preview = policy_preview(policy=unsaved(keep_hours=None))
    assert preview.counts is None
    assert "for ever" in preview.refusals[0]
    assert preview.to_json()["counts"] is None


def test_a_table_that_somebody_keeps_locked_is_not_waited_for(
    execute: Execute, other_session: Callable[[], Any]
) -> None:
    make_events(execute, due=10)
    session = other_session()
    session.execute("BEGIN; LOCK TABLE app.events IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(PreviewUnavailable, match="is locked by somebody"):
        policy_preview(policy=unsaved())
    session.execute("ROLLBACK")
    assert str(policy_preview(policy=unsaved()).due) == "10"


def test_all_of_it_ends_in_time_also_when_the_server_is_slow(execute: Execute) -> None:
    make_events(execute, due=100)
    execute("CREATE TABLE app.notes (event bigint REFERENCES app.events)")

    def slow(execute: Any, query: Any, params: Any, many: bool, context: Any) -> Any:
        text = query if isinstance(query, str) else query.as_string(None)
        if '"app".' in text and "EXPLAIN" not in text:
            return execute("SELECT pg_catalog.pg_sleep(60)", None, many, context)
        return execute(query, params, many, context)

    with connection.execute_wrapper(slow):
        preview = policy_preview(policy=unsaved(), seconds=2.5)
    assert preview.took < 4
    assert preview.counts is not None
    assert preview.counts.method == "planned"
    assert preview.samples is not None
    assert preview.samples.problem == "There was no time to look for rows."
    assert preview.dependents[0].rows is None


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
