"""Old months of a history go, and every moment that is left shows the same rows as before."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from auditing.models import AuditEvent, TrackedTable
from operations.models import Certificate, Run
from operations.vetoes import Vetoed
from retention.models import ArchivePart
from retention.services.policy_terms import PolicyTerms
from retention.services.policy_terms_check import terms_problems
from retention.services.purge_start import purge_preview, purge_run
from tests.retention.holding import place
from tests.retention.purging import ran

from .histories import forget
from .old_histories import (
    KEY,
    VALUE,
    Past,
    history_policy,
    made_old,
    months,
    partitions,
    shown,
)

pytestmark = pytest.mark.sql
Execute = Callable[..., list[tuple[Any, ...]]]
Connect = Callable[[], psycopg.Connection[Any]]


@pytest.fixture(autouse=True)
def clean(transactional_db: None) -> Iterator[None]:
    yield
    forget()


def retire(tracked: TrackedTable, person: User, **terms: Any) -> Run:
    policy = history_policy(tracked, **terms)
    return ran(purge_run(policy=policy, requester=person, reason="the term of the history"))


def test_every_moment_inside_the_window_shows_the_same_rows_as_before(
    execute: Execute, person: User
) -> None:
    tracked = made_old()
    past = Past(tracked, changes=900, seed=4)
    before = partitions(execute, tracked)
    cutoff = timezone.now() - timedelta(days=730)
    boundary = max(start for start in months() if start <= cutoff)
    chance = random.Random(5)
    moments = [boundary, cutoff, timezone.now(), *months()[-23:]]
    moments += [boundary + chance.random() * (timezone.now() - boundary) for _ in range(60)]
    for moment in moments:
        assert shown(execute, tracked, moment) == past.at(moment)

    run = retire(tracked, person)

    after = partitions(execute, tracked)
    assert after == [name for name in before if name >= f"app__stock_p{boundary:%Y%m}"]
    assert len(after) < len(before)
    for moment in moments:
        assert shown(execute, tracked, moment) == past.at(moment), moment
    # What was rewritten is each row that lived at the boundary, once, and nothing that did not.
    carried = execute(
        f"SELECT {KEY}, {VALUE}, count(*) FROM {tracked.history} WHERE op = 'C' GROUP BY 1, 2"
    )
    assert {key: value for key, value, _ in carried} == past.at(boundary - timedelta(seconds=1))
    assert {count for _, _, count in carried} == {1}
    assert execute(f"SELECT DISTINCT at FROM {tracked.history} WHERE op = 'C'") == [(boundary,)]
    gone = ArchivePart.objects.filter(archive__run=run).values_list("rows", flat=True)
    assert sum(gone) == run.done


def test_a_second_run_finds_nothing_to_do(execute: Execute, person: User) -> None:
    tracked = made_old()
    Past(tracked, changes=300, seed=6)
    retire(tracked, person)
    before = execute(f"SELECT * FROM {tracked.history} ORDER BY seq, at")
    [policy] = [run.parameters["policy"] for run in Run.objects.filter(kind="purge")]
    from retention.models import RetentionPolicy

    again = ran(purge_run(policy=RetentionPolicy.objects.get(pk=policy), requester=person))
    assert (again.done, again.result["certificate"]) == (0, None)
    assert execute(f"SELECT * FROM {tracked.history} ORDER BY seq, at") == before


def test_no_version_of_a_month_that_is_not_over_goes(execute: Execute, person: User) -> None:
    """Days past its term, a version may still be the newest of its row."""
    tracked = made_old()
    Past(tracked, changes=600, seed=7)
    cutoff = timezone.now() - timedelta(days=730)
    boundary = max(start for start in months() if start <= cutoff)
    policy = history_policy(tracked)
    due = execute(f"SELECT count(*) FROM {tracked.history} WHERE at < %s", [boundary])[0][0]
    assert purge_preview(policy=policy).facts["due"] == due
    kept = execute(f"SELECT * FROM {tracked.history} WHERE at >= %s ORDER BY seq", [boundary])
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done >= due
    assert (
        execute(
            f"SELECT * FROM {tracked.history} WHERE at >= %s AND op <> 'C' ORDER BY seq", [boundary]
        )
        == kept
    )


def test_a_row_that_was_deleted_is_not_carried_back_to_life(execute: Execute, person: User) -> None:
    tracked = made_old()
    old = months()[2]
    for seq, (key, op) in enumerate([(1, "I"), (1, "D"), (2, "I"), (2, "T"), (3, "I"), (3, "R")]):
        execute(
            f"INSERT INTO {tracked.history}"
            f" (seq, statement, xid, op, at, layout, db_user, {KEY}, {VALUE})"
            " VALUES (%s, 1, 1, %s, %s, 1, 'app', %s, 0)",
            [seq, op, old, key],
        )
    assert retire(tracked, person).done == 6
    assert execute(f"SELECT * FROM {tracked.history}") == []


def test_the_history_of_an_audit_that_ended_ends_too(execute: Execute, person: User) -> None:
    """Until the end of the audit every moment shows its rows; afterwards nobody knows them."""
    tracked = made_old()
    past = Past(tracked, changes=400, seed=10)
    tracked.untracked_at = months()[6] + timedelta(days=3)
    tracked.save()
    execute(f"DELETE FROM {tracked.history} WHERE at > %s", [tracked.untracked_at])
    policy = history_policy(tracked, keep_hours=24 * 31 * 33)
    boundary = max(s for s in months() if s <= timezone.now() - timedelta(days=31 * 33))
    ran(purge_run(policy=policy, requester=person))
    for moment in (boundary, months()[5], tracked.untracked_at):
        assert shown(execute, tracked, moment) == past.at(moment)
    assert past.at(boundary) != {}
    policy.keep_hours = 24 * 730
    policy.version += 1
    policy.save()
    ran(purge_run(policy=policy, requester=person))
    assert execute(f"SELECT * FROM {tracked.history}") == []


def test_two_images_of_one_number_are_carried_as_one(execute: Execute, person: User) -> None:
    """Of a row that a baseline and its first change both came to."""
    tracked = made_old()
    for _ in range(2):
        execute(
            f"INSERT INTO {tracked.history}"
            f" (seq, statement, xid, op, at, layout, db_user, {KEY}, {VALUE})"
            " VALUES (5, 1, 1, 'B', %s, 1, 'app', 1, 7)",
            [months()[1]],
        )
    retire(tracked, person)
    assert execute(f"SELECT seq, op::text, {KEY}, {VALUE} FROM {tracked.history}") == [
        (5, "C", 1, 7)
    ]


def test_a_key_whose_type_was_changed_is_one_key(execute: Execute, person: User) -> None:
    """Its values are in two columns, and between the change and the next sync in `rest`."""
    from auditing.models import HistoryColumn

    tracked = made_old()
    execute(f'ALTER TABLE {tracked.history} ADD COLUMN "1r2_Id €" text')
    HistoryColumn.objects.create(
        tracked=tracked, attnum=1, source_type="text", name="1r2_Id €", type="text"
    )
    old = months()[1]
    for seq, column, value in (
        (1, KEY, 17),
        (2, "rest", '{"1": "17"}'),
        (3, '"1r2_Id €"', "17"),
        (4, KEY, 18),
    ):
        execute(
            f"INSERT INTO {tracked.history}"
            f" (seq, statement, xid, op, at, layout, db_user, {VALUE}, {column})"
            " VALUES (%s, 1, 1, 'U', %s, 1, 'app', 0, %s)",
            [seq, old, value],
        )
    retire(tracked, person)
    assert execute(f"SELECT seq, op::text FROM {tracked.history} ORDER BY seq") == [
        (3, "C"),
        (4, "C"),
    ]


def test_the_event_tells_of_it_and_a_certificate_proves_it(person: User) -> None:
    tracked = made_old()
    Past(tracked, changes=200, seed=8)
    run = retire(tracked, person)
    event = AuditEvent.objects.get()
    assert (event.kind, event.tracked, event.rows, event.run_id, event.actor, event.reason) == (
        "retire",
        tracked,
        run.done,
        run.pk,
        "console:ada",
        "the term of the history",
    )
    assert event.certificate == Certificate.objects.get().number
    assert event.detail["policy"] == f"history of {tracked.table}"


def test_terms_that_would_take_versions_one_by_one_are_refused() -> None:
    from dataclasses import replace

    from operations.catalogue.types import TableName

    tracked = made_old()
    terms = PolicyTerms(name="h", table=tracked.history, age_column="at", keep_hours=24)
    assert list(terms_problems(terms)) == []
    leaf = TableName("history", f"{tracked.history_name}_p{months()[0]:%Y%m}")
    for wrong, word in (
        (replace(terms, table=leaf), "is not the history of an audited table"),
        (replace(terms, soft_delete=True), "month by month, whole"),
        (replace(terms, dependents=(tracked.history,)), "month by month, whole"),
    ):
        assert any(word in str(problem) for problem in terms_problems(wrong)), word


def test_what_is_held_stays_and_so_does_its_month(execute: Execute, person: User) -> None:
    tracked = made_old()
    past = Past(tracked, changes=400, seed=9)
    before = partitions(execute, tracked)
    place("2026-1", str(tracked.history))
    policy = history_policy(tracked)
    with pytest.raises(Vetoed):
        purge_preview(policy=policy)
    answer = purge_run(policy=policy, requester=person)
    assert answer.run is None
    assert "protected as a whole" in answer.refusal
    assert partitions(execute, tracked) == before
    assert shown(execute, tracked, timezone.now()) == past.at(timezone.now())


def test_a_held_version_keeps_its_month_and_those_after_it(execute: Execute, person: User) -> None:
    tracked = made_old()
    past = Past(tracked, changes=400, seed=9)
    second = months()[1]
    found = execute(
        f"SELECT seq FROM {tracked.history} WHERE at >= %s AND at < %s LIMIT 1",
        [second, months()[2]],
    )
    place("2026-1", str(tracked.history), where=f"seq = {found[0][0]}")
    before = partitions(execute, tracked)
    run = retire(tracked, person)
    # Did a later month go, rows that were deleted in it would be there again.
    assert partitions(execute, tracked) == before[1:]
    assert run.plan["partitions_by_batches"][0]["why"] == "rows of it are protected by hold 2026-1"
    assert run.plan["partitions_by_batches"][1]["why"] == "an older month of the history stays"
    assert execute(f"SELECT count(*) FROM {tracked.history} WHERE seq = %s", [found[0][0]])[0][0]
    for moment in months()[-20:]:
        assert shown(execute, tracked, moment) == past.at(moment)
