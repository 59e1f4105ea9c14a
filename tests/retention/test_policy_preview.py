"""Before anything is destroyed, a person sees what would be, and what would not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.db import connection
from django.utils import timezone

from operations.models import Run
from retention.exceptions import PreviewUnavailable
from retention.models import HoldScope, LegalHold, RetentionPolicy
from retention.preview_presenting import preview_facts
from retention.selectors import preview_counts
from retention.services.purge_preview import policy_preview
from retention.services.purge_start import purge_run

from .previewing import held, told, unsaved
from .purging import live, make_events, make_policy, ran

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


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
