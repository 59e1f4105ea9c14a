"""Whatever people do in whatever order: no held or kept row goes, and no row goes without proof.

A Hypothesis state machine over real rows: policies change, holds come and go, rows arrive, time
passes, purges run, archives are put back and expire. Beside it stands a model in plain Python.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from operations.catalogue.read import table
from operations.conditions.parse import parse_condition
from operations.models import Certificate, Run
from operations.runs.kinds import run_kind
from operations.runs.states import RunState
from operations.services.run_approve import run_approve_and_execute
from retention.models import Archive, HeldRow, HoldScope, LegalHold, RetentionPolicy
from retention.services.archive_expire_start import archive_expire, expiry_due
from retention.services.policy_change import policy_propose
from retention.services.policy_terms import PolicyTerms
from retention.services.purge_start import purge_run
from retention.services.restore_start import archive_restore
from tests.effort import examples

from . import purging
from .holding import officer, place, release

pytestmark = pytest.mark.sql
EXAMPLES = examples(6, least=6)

TABLE = """
CREATE TABLE app.events (
    id bigint PRIMARY KEY, created_at timestamptz, flag boolean, body text NOT NULL
)
"""
CONDITIONS = {"": None, "flag": True, "NOT flag": False}
"""Keep conditions: for which value of `flag` a row is kept. NULL keeps it too."""
flags = st.sampled_from([True, False, None])
ages = st.one_of(st.integers(31, 150), st.integers(0, 150), st.none())
some = st.lists(st.tuples(ages, flags), min_size=3, max_size=9)


@dataclass(frozen=True)
class Row:
    created_at: datetime | None
    flag: bool | None


@dataclass
class Model:
    """What has to be true."""

    rows: dict[int, Row] = field(default_factory=dict)
    """Every row there ever was."""
    live: set[int] = field(default_factory=set)
    archives: dict[str, set[int]] = field(default_factory=dict)
    expires: dict[str, datetime] = field(default_factory=dict)
    """Of the archives that have a term."""
    purged: int = 0
    gone: set[str] = field(default_factory=set)
    """Archives that were destroyed."""
    certified: set[int] = field(default_factory=set)
    """Gone for good: by a purge without archive, or with the archive they were in."""
    days: int | None = 30
    keep: str = ""
    archive: bool = True
    archive_days: int | None = None
    holds: dict[str, Callable[[int], bool]] = field(default_factory=dict)
    """By case: whether it holds the row of that number."""
    whole: set[str] = field(default_factory=set)
    """Cases that hold the whole table."""

    def held(self, number: int) -> bool:
        return bool(self.whole) or any(holds(number) for holds in self.holds.values())

    def kept(self, number: int) -> bool:
        flag = self.rows[number].flag
        return bool(self.keep) and (flag is None or flag is CONDITIONS[self.keep])

    def due(self, now: datetime) -> set[int]:
        if self.days is None:
            return set()
        cutoff = now - timedelta(days=self.days)
        return {
            number
            for number in self.live
            if (at := self.rows[number].created_at) is not None
            and at < cutoff
            and not self.kept(number)
            and not self.held(number)
        }


class Retention(RuleBasedStateMachine):
    """One policy on one table."""

    clock: Clock
    execute: Callable[..., Any]
    removed = 0
    """Rows that were purged in all examples."""

    @initialize()
    def begin(self) -> None:
        clean(self.execute)
        self.clock.days = 0
        self.model = Model()
        self.policy = purging.make_policy(keep_hours=30 * 24)
        self.asker, self.other = officer("ada"), officer("grace")
        self.cases = 0

    # What people do.

    @rule(made=some)
    def insert(self, made: list[tuple[int | None, bool | None]]) -> None:
        for age, flag in made:
            number = len(self.model.rows) + 1
            # A minute apart from every cutoff, which falls on whole days.
            at = self.clock.now() - timedelta(days=age, minutes=1) if age is not None else None
            self.execute(
                "INSERT INTO app.events VALUES (%s, %s, %s, repeat('x', %s))",
                [number, at, flag, number % 50],
            )
            self.model.rows[number] = Row(at, flag)
            self.model.live.add(number)

    @rule(
        days=st.sampled_from([None, 0, 5, 30, 90]),
        keep=st.sampled_from(sorted(CONDITIONS)),
        archive_days=st.sampled_from([None, 3, 20]),
        archive=st.booleans(),
        approved=st.booleans(),
    )
    def change_policy(
        self, days: int | None, keep: str, archive_days: int | None, archive: bool, approved: bool
    ) -> None:
        """What would destroy more is in force only when another person has approved it."""
        policy = RetentionPolicy.objects.get(pk=self.policy.pk)
        terms = replace(
            PolicyTerms.of(policy),
            age_column="" if days is None else "created_at",
            keep_hours=None if days is None else days * 24,
            keep_condition=parse_condition(keep, table("app.events")) if keep else None,
            archive_first=archive,
            archive_days=archive_days if archive else None,
        )
        answer = policy_propose(terms=terms, policy=policy, actor=self.asker, reason="machine")
        if answer.run is not None and not approved:
            return
        if answer.run is not None:
            self.approve(answer.run)
        self.model.days, self.model.keep = days, keep
        self.model.archive, self.model.archive_days = archive, terms.archive_days

    def approve(self, run: Run) -> None:
        confirm = run_kind(run.kind).confirm_text(run.plan)
        run_approve_and_execute(run_id=run.pk, approver=self.other, confirm=confirm)

    @rule(kind=st.sampled_from(["rows", "flag", "rows", "NOT flag", "table"]), data=st.data())
    @precondition(lambda self: len(self.model.holds) + len(self.model.whole) < 2)
    def hold(self, kind: str, data: st.DataObject) -> None:
        self.cases += 1
        case = f"case-{self.cases}"
        if kind == "table":
            place(case)
            self.model.whole.add(case)
        elif kind == "rows":
            known = sorted(self.model.rows)
            chosen = data.draw(
                st.sets(st.sampled_from(known), min_size=1) if known else st.just({9})
            )
            place(case, rows=[str(number) for number in chosen], missing_ok=True)
            self.model.holds[case] = lambda number: number in chosen
        else:
            place(case, where=kind)
            wanted = CONDITIONS[kind]
            rows = self.model.rows
            self.model.holds[case] = lambda number: rows[number].flag in (wanted, None)

    @rule(data=st.data())
    @precondition(lambda self: self.model.holds or self.model.whole)
    def release_hold(self, data: st.DataObject) -> None:
        case = data.draw(st.sampled_from(sorted({*self.model.holds, *self.model.whole})))
        release(case)
        self.model.holds.pop(case, None)
        self.model.whole.discard(case)

    @rule(days=st.integers(1, 40))
    def wait(self, days: int) -> None:
        self.clock.days += days

    @rule()
    def purge(self) -> None:
        due = self.model.due(self.clock.now())
        policy = RetentionPolicy.objects.get(pk=self.policy.pk)
        answer = purge_run(policy=policy, requester=self.asker)
        if answer.run is not None and answer.run.current is RunState.AWAITING_APPROVAL:
            self.approve(answer.run)
            answer = purge_run(policy=policy, requester=self.asker)
        if self.model.days is None or self.model.whole:
            assert answer.run is None
            return
        run = purging.ran(answer)
        assert run.done == len(due)
        self.model.live -= due
        self.model.purged += len(due)
        Retention.removed += len(due)
        if due and self.model.archive:
            self.model.archives[run.result["archive"]] = due
            if self.model.archive_days is not None:
                archive = Archive.objects.get(name=run.result["archive"])
                assert archive.expires_at is not None
                self.model.expires[archive.name] = archive.expires_at
        elif due:
            self.model.certified |= due

    @rule(days=st.integers(0, 25))
    @precondition(lambda self: self.model.expires)
    def expire(self, days: int) -> None:
        self.clock.days += days
        over = {name for name, at in self.model.expires.items() if at <= self.clock.now()}
        free = {
            name
            for name in over
            if not any(self.model.held(number) for number in self.model.archives[name])
        }
        for due in expiry_due():
            answer = archive_expire(due=due, requester=self.asker)
            if answer.run is not None and answer.run.current is RunState.AWAITING_APPROVAL:
                self.approve(answer.run)
                archive_expire(due=due, requester=self.asker)
        destroyed = Archive.objects.filter(state=Archive.State.DESTROYED)
        assert set(destroyed.values_list("name", flat=True)) == self.model.gone | free
        for name in free:
            self.model.certified |= self.model.archives.pop(name)
            self.model.expires.pop(name)
            self.model.gone.add(name)

    @rule(made=some)
    def insert_and_purge(self, made: list[tuple[int | None, bool | None]]) -> None:
        self.insert(made)
        self.purge()

    @rule(data=st.data())
    @precondition(lambda self: self.model.archives)
    def restore(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.archives)))
        run = archive_restore(archive=Archive.objects.get(name=name), requester=self.asker)
        assert run.state == "succeeded", run.error
        self.model.live |= self.model.archives[name]

    # What must be true after each.

    @invariant()
    def exactly_the_rows_that_may_be_gone_are(self) -> None:
        assert {
            number for (number,) in self.execute("SELECT id FROM app.events")
        } == self.model.live

    @invariant()
    def every_row_that_is_gone_is_in_an_archive_or_certified(self) -> None:
        in_archives = {number for held in self.model.archives.values() for number in held}
        assert set(self.model.rows) == self.model.live | in_archives | self.model.certified

    @invariant()
    def archives_hold_what_went_and_certificates_count_it(self) -> None:
        found = Archive.objects.exclude(state="destroyed").values_list("name", "rows")
        assert dict(found) == {name: len(rows) for name, rows in self.model.archives.items()}
        bodies = Certificate.objects.filter(kind="disposition").values_list("body", flat=True)
        assert sum(each["body"]["tables"][0]["rows"] for each in bodies) == self.model.purged

    @invariant()
    def destroyed_archives_are_certified_and_leave_no_part(self) -> None:
        bodies = Certificate.objects.filter(kind="destruction").values_list("body", flat=True)
        named = [each["archive"] for body in bodies for each in body["body"]["archives"]]
        assert sorted(named) == sorted(self.model.gone)
        parts = {file.split("/")[1] for file in purging.files() if "/part-" in file}
        assert parts == set(self.model.archives)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        read: set[int] = set(purging.archived(select="b.id"))
        assert read == {number for rows in self.model.archives.values() for number in rows}


class Clock:
    """The one fake: days that pass at once."""

    def __init__(self) -> None:
        self.days = 0

    def now(self) -> datetime:
        return datetime.now(tz=UTC) + timedelta(days=self.days)


def clean(execute: Callable[..., Any]) -> None:
    """Nothing of the last example remains."""
    shutil.rmtree(django_settings.CUSTODY_STORAGE / "archives", ignore_errors=True)
    execute("DROP TABLE IF EXISTS app.events")
    execute(TABLE)
    for model in (HeldRow, HoldScope, LegalHold):
        model.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE custody.operations_run, custody.retention_retentionpolicy,"
            " custody.operations_certificate, custody.retention_archive CASCADE"
        )


@pytest.mark.django_db(transaction=True)
def test_no_order_of_events_loses_a_row(
    governed: str, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(timezone, "now", clock.now)
    Retention.clock, Retention.execute = clock, staticmethod(execute)
    run_state_machine_as_test(
        Retention,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Every step is real work: a failing example is shown as it was found.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
    assert Retention.removed >= EXAMPLES, "hardly anything was ever purged: this proves nothing"
