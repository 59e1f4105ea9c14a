"""Every committed statement has one line, whoever was writing, waiting or killed meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from auditing.models import ChangeContext, ChangeStatement, ChangeTransaction, SummaryPosition
from auditing.services import statement_summarise as module
from auditing.services.statement_summarise import statement_summarise

from .histories import change, forget, made

pytestmark = pytest.mark.sql
Connect = Callable[[], psycopg.Connection[Any]]


@pytest.fixture(autouse=True)
def clean(transactional_db: None) -> Iterator[None]:
    # Goes past the numbers that the tests before have used.
    statement_summarise()
    yield
    forget()


def lines() -> list[tuple[int, str, int]]:
    return list(ChangeStatement.objects.order_by("id").values_list("id", "operation", "rows"))


def test_a_firing_is_one_line_with_its_rows_columns_and_who(other_session: Connect) -> None:
    orders, session = made("orders"), other_session()
    context = ChangeContext.objects.create(
        xid=1, at="2026-11-25T12:00:00Z", actor="app:support", reason="asked", session_user="u"
    )
    with session.transaction():
        row = session.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        context.xid = row[0]  # type: ignore[index]
        context.save()
        first = change(session, orders, "I", 1, 2, 3)
        second = change(session, orders, "U", 1, 2, changed="01", context=context.pk)
        # A key that changed: two versions of one row. Images of the baseline are nobody's change.
        change(session, orders, "R", 3, statement=(third := change(session, orders, "U", 4, 5)))
        change(session, orders, "B", 9)
        change(session, orders, "C", 9)
    assert statement_summarise() == 3
    assert lines() == [(first, "I", 3), (second, "U", 2), (third, "U", 2)]
    by_support = ChangeStatement.objects.get(pk=second)
    assert (by_support.changed, by_support.actor, by_support.context) == (
        ["total"],
        "app:support",
        context,
    )
    by_role = ChangeStatement.objects.get(pk=first)
    [role] = connection.cursor().execute("SELECT session_user").fetchone()  # type: ignore[union-attr]
    assert (by_role.changed, by_role.actor, by_role.session_user) == ([], f"db:{role}", role)
    assert by_role.first_seq is not None
    assert by_role.last_seq == by_role.first_seq + 2
    whole = ChangeTransaction.objects.get()
    assert (whole.statements, whole.rows, whole.actor, whole.context, whole.first_at) == (
        3,
        7,
        "app:support",
        context,
        by_role.at,
    )
    assert statement_summarise() == 0


def test_a_transaction_that_stays_open_delays_its_own_lines_only(other_session: Connect) -> None:
    orders, slow, quick = made("orders"), other_session(), other_session()
    with slow.transaction():
        early = change(slow, orders, "I", 1)
        later = change(quick, orders, "I", 2)
        assert statement_summarise() == 1
        middle = change(quick, orders, "U", 2)
        assert statement_summarise() == 1
        assert statement_summarise() == 0
        assert [line[0] for line in lines()] == [later, middle]
        late = change(slow, orders, "D", 1)
    assert statement_summarise() == 2
    assert [line[0] for line in lines()] == sorted([early, later, middle, late])
    assert SummaryPosition.objects.get().target == ""


@pytest.mark.parametrize("later", [0, 1])
def test_a_version_older_than_many_passes_is_found_when_its_transaction_ends(
    other_session: Connect, later: int
) -> None:
    """Days may lie between: partitions are left out by time, and never its own.

    The snapshot names an open transaction only when a later one has ended.
    """
    orders, slow, others = made("orders"), other_session(), other_session()
    statement_summarise()
    statement_summarise()
    weeks = timezone.now() + timedelta(days=30)
    with slow.transaction():
        early = change(slow, orders, "I", 1)
        for _ in range(later):
            change(others, orders, "I", 2)
        assert statement_summarise() == later
        # The times of this pass and of the next ones, as if they came weeks later.
        SummaryPosition.objects.update(at=weeks)
        for _ in range(3):
            assert statement_summarise() == 0
            SummaryPosition.objects.update(at=weeks)
        assert SummaryPosition.objects.get().before_at == weeks
    assert statement_summarise() == 1
    assert early in [line[0] for line in lines()]


def test_transactions_that_end_together_began_near_each_other_and_far_apart(
    other_session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEAR", 3)
    orders, quick = made("orders"), other_session()
    slow = [other_session() for _ in range(5)]
    expected = []
    for number, session in enumerate(slow):
        session.execute("BEGIN")
        expected.append(change(session, orders, "I", *range(number + 1)))
        expected += [change(quick, orders, "I", 1) for _ in range(number * 2)]
    assert statement_summarise() == 20
    slow[2].execute("COMMIT")
    assert statement_summarise() == 1
    for session in slow:
        session.execute("COMMIT")
    assert statement_summarise() == 4
    assert [line[0] for line in lines()] == expected
    assert statement_summarise() == 0


def test_what_was_rolled_back_has_no_line(other_session: Connect) -> None:
    orders, session = made("orders"), other_session()
    with session.transaction():
        kept = change(session, orders, "I", 1)
        with session.transaction(force_rollback=True):
            change(session, orders, "I", 2)
        with session.transaction():
            inner = change(session, orders, "I", 3)
    with session.transaction(force_rollback=True):
        change(session, orders, "I", 4)
    assert statement_summarise() == 2
    assert lines() == [(kept, "I", 1), (inner, "I", 1)]
    assert ChangeTransaction.objects.get().rows == 2


def test_savepoints_of_an_open_transaction_wait_with_it(other_session: Connect) -> None:
    orders, session = made("orders"), other_session()
    with session.transaction():
        session.execute("SELECT 1")
        with session.transaction():
            inner = change(session, orders, "I", 1)
        assert statement_summarise() == 0
        other_session().execute("CREATE TABLE IF NOT EXISTS public.later (id int)")
        assert statement_summarise() == 0
    assert statement_summarise() == 1
    assert lines() == [(inner, "I", 1)]
    session.execute("DROP TABLE public.later")


def test_many_histories_are_gone_through_in_steps(
    other_session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TABLES", 2)
    layouts = [made(f"t{number}") for number in range(5)]
    session = other_session()
    with session.transaction():
        made_lines = [change(session, layout, "I", 1, 2) for layout in layouts]
    assert statement_summarise() == 5
    assert [line[0] for line in lines()] == made_lines
    whole = ChangeTransaction.objects.get()
    assert (whole.statements, whole.rows) == (5, 10)
    assert statement_summarise() == 0


def test_however_much_there_is_it_is_done_in_short_steps(
    other_session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction whose statements are in several is one all the same."""
    monkeypatch.setattr(module, "STATEMENTS", 3)
    monkeypatch.setattr(module, "TABLES", 2)
    layouts = [made(f"t{number}") for number in range(3)]
    session, slow = other_session(), other_session()
    context = ChangeContext.objects.create(
        xid=1, at="2026-11-25T12:00:00Z", actor="app:support", session_user="u"
    )
    with slow.transaction():
        early = change(slow, layouts[0], "I", 1, 2)
        statement_summarise()
        with session.transaction():
            [xid] = session.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
            ChangeContext.objects.update(xid=xid)
            many = [
                change(session, layouts[number % 3], "I", 1, context=context.pk if number else None)
                for number in range(20)
            ]
        late = change(slow, layouts[1], "D", 1)
        assert statement_summarise() == 20
    assert statement_summarise() == 2
    assert [line[0] for line in lines()] == [early, *many, late]
    whole = ChangeTransaction.objects.order_by("xid")
    assert [(each.statements, each.rows, each.actor, each.context) for each in whole] == [
        (2, 3, ChangeStatement.objects.get(pk=early).actor, None),
        (20, 20, "app:support", context),
    ]
    assert statement_summarise() == 0


def test_who_has_little_time_leaves_the_rest_to_the_next(
    other_session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATEMENTS", 2)
    orders, session = made("orders"), other_session()
    change(session, orders, "I", 0)
    assert statement_summarise() == 1
    for number in range(10):
        change(session, orders, "I", number)
    assert 0 < (first := statement_summarise(within=0)) < 10
    assert first + statement_summarise() == 10


def test_a_caller_goes_on_where_a_killed_one_stood(
    other_session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TABLES", 2)
    layouts = [made(f"t{number}") for number in range(5)]
    session = other_session()
    with session.transaction():
        for layout in layouts:
            change(session, layout, "I", 1)
    assert not module._step("default").ended
    assert not module._step("default").ended
    # What comes after the snapshot of the pass under way is the next one's.
    change(session, layouts[0], "I", 2)
    assert statement_summarise() == 2
    assert [line[2] for line in lines()] == [1] * 6
    assert ChangeTransaction.objects.count() == 2


def test_a_table_that_is_not_tracked_any_more_is_still_summarised(other_session: Connect) -> None:
    orders, session = made("orders"), other_session()
    with session.transaction():
        statement = change(session, orders, "I", 1)
    orders.tracked.untracked_at = "2026-11-01T00:00:00Z"
    orders.tracked.save()
    assert statement_summarise() == 1
    assert lines() == [(statement, "I", 1)]


def test_a_history_that_somebody_dropped_stops_no_other(other_session: Connect) -> None:
    gone, orders, session = made("gone"), made("orders"), other_session()
    change(session, gone, "I", 1)
    change(session, orders, "I", 1)
    session.execute(f"DROP TABLE history.{gone.tracked.history_name}")
    assert statement_summarise() == 1


def test_a_caller_leaves_the_work_to_another_that_is_at_it(
    other_session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", "50ms")
    orders, session, busy = made("orders"), other_session(), other_session()
    change(session, orders, "I", 1)
    with busy.transaction():
        busy.execute("SELECT pg_advisory_xact_lock(%s)", [module.LOCK])
        assert statement_summarise() == 0
    assert statement_summarise() == 1


def test_a_pass_reads_no_partition_of_other_times(other_session: Connect) -> None:
    """Nor does it wait for one that is being written anew."""
    orders, session = made("orders"), other_session()
    change(session, orders, "I", 1)
    assert statement_summarise() == 1
    SummaryPosition.objects.update(
        before_at="2099-01-01T00:00:00Z", at="2099-01-01T00:00:00Z", open_since={}
    )
    with session.transaction():
        session.execute("LOCK TABLE history.app__orders_old IN ACCESS EXCLUSIVE MODE")
        assert statement_summarise() == 0
