"""A policy with soft deletion: into the bin first, and destroyed when the grace is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from operations.models import Certificate
from retention.models import Archive, Deletion
from retention.services import bin_entering
from retention.services.purge_start import purge_run
from retention.services.record_restore import record_restore

from .binned import (
    TABLES,
    active,
    assert_counts_true,
    binned,
    ever_policy,
    grace_over,
    ids,
    soft_policy,
)
from .holding import place, release
from .purging import messages, ran
from .records import assert_all_there, state
from .softdeleting import soft_delete

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.mark.usefixtures("bin_shop", "bin_sizes")
def test_due_rows_go_into_the_bin_with_all_that_hangs_on_them_and_nothing_is_destroyed(
    person: User,
) -> None:
    before = {table: len(ids(table)) for table in TABLES}
    run = ran(purge_run(policy=soft_policy(), requester=person))
    assert active("users") == [7, 8, 9, 10, 11, 12]
    assert active("orders") == list(range(13, 25))
    assert active("lines") == list(range(37, 73))
    assert {table: len(ids(table)) for table in TABLES} == before
    assert ids("addresses", "user_id IS NULL") == [1, 2, 3, 4, 5, 6]
    assert run.done == 6 + 12 + 36
    assert run.result["bin"]["moved_in"] == run.done
    assert run.result["bin"]["destroyed"] == 0
    assert run.result["certificate"] is None
    for deletion in Deletion.objects.all():
        assert (deletion.source, deletion.run) == ("policy", run)
        assert deletion.reason == "Past the term of policy users: 365 days."
        assert (deletion.purge_after - deletion.deleted_at).days == 30  # type: ignore[operator]
    assert_counts_true()


@pytest.mark.usefixtures("bin_shop", "bin_sizes")
def test_after_the_grace_they_are_destroyed_archived_and_certified(person: User) -> None:
    policy = soft_policy()
    ran(purge_run(policy=policy, requester=person))
    before = state(*TABLES)
    again = ran(purge_run(policy=policy, requester=person))
    assert again.done == 0
    grace_over()
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 54
    assert [binned(table) for table in TABLES] == [[], [], []]
    assert active("users") == [7, 8, 9, 10, 11, 12]
    tables = [{"table": f"app.{t}", "rows": n} for t, n in zip(TABLES, (6, 12, 36), strict=True)]
    assert run.result["tables"] == tables
    body = Certificate.objects.get().body["body"]
    assert body["tables"] == tables
    assert "had been deleted, and whose time in the bin was over" in body["statement"]
    archived = Archive.objects.values_list("table_name", "rows")
    assert dict(archived) == {"users": 6, "orders": 12, "lines": 36}
    assert_all_there(before)
    assert set(Deletion.objects.values_list("state", flat=True)) == {"purged"}
    assert_counts_true()


@pytest.mark.usefixtures("bin_shop", "bin_sizes")
def test_kept_for_ever_by_age_what_is_in_the_bin_is_destroyed_after_its_grace(
    person: User,
) -> None:
    policy = ever_policy(archive=False)
    mine, other = soft_delete("users", 3), soft_delete("users", 9)
    grace_over(mine.pk)
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 1 + 2 + 6
    assert ids("users") == [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert binned("users") == [9]
    mine.refresh_from_db()
    other.refresh_from_db()
    assert (mine.state, mine.run, other.state) == ("purged", run, "deleted")
    record_restore(deletion_id=other.pk, actor=person)
    assert 9 in active("users")
    assert_counts_true()


@pytest.mark.usefixtures("bin_shop")
def test_the_bin_of_a_table_without_such_a_policy_is_kept(person: User) -> None:
    order = soft_delete("orders", 23)
    grace_over()
    ran(purge_run(policy=ever_policy(), requester=person))
    assert binned("orders") == [23]
    order.refresh_from_db()
    assert order.state == "deleted"


@pytest.mark.usefixtures("bin_shop", "bin_sizes")
def test_what_another_deletion_refers_to_waits_for_it(person: User) -> None:
    """An order deleted on Monday, its customer on Tuesday: a cascade would take the order."""
    order, user = soft_delete("orders", 5), soft_delete("users", 3)
    grace_over(user.pk)
    policy = ever_policy()
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 0
    assert run.plan["bin"]["waiting_because"] == [
        {
            "deletion": user.pk,
            "why": f"rows of app.orders in deletion {order.pk} refer to it, and go first",
        }
    ]
    assert binned("orders") == [5, 6]
    user.refresh_from_db()
    assert user.state == "deleted"
    grace_over()
    for each in (ever_policy("orders"), policy):
        ran(purge_run(policy=each, requester=person))
    assert [binned(table) for table in TABLES] == [[], [], []]
    assert_counts_true()


@pytest.mark.usefixtures("bin_shop", "bin_sizes")
def test_a_held_row_keeps_its_whole_record_and_the_rest_of_the_deletion_goes(
    person: User,
) -> None:
    policy = soft_policy()
    place("2031-17", "app.lines", where="note = 'l8'")
    # Line 8 is of order 3, which is of user 2: the record stays where it is.
    ran(purge_run(policy=policy, requester=person))
    assert active("users") == [2, 7, 8, 9, 10, 11, 12]
    release("2031-17")
    deletion = soft_delete("users", 2, 7)
    place("2031-18", "app.lines", where="note = 'l8'")
    before = state(*TABLES)
    grace_over()
    run = ran(purge_run(policy=policy, requester=person))
    assert binned("users") == [2]
    assert (binned("orders"), len(binned("lines"))) == ([3, 4], 6)
    assert run.result["tables"][0] == {"table": "app.users", "rows": 6}
    assert {"hold": "2031-18", "rows": 1} in Certificate.objects.get().body["body"][
        "holds_honoured"
    ]
    deletion.refresh_from_db()
    assert deletion.state == "deleted"
    assert_all_there(before)
    assert_counts_true()
    record_restore(deletion_id=deletion.pk, actor=person)
    assert 2 in active("users")
    assert_counts_true()


@pytest.mark.usefixtures("bin_shop")
def test_a_reference_that_a_hold_looks_at_is_not_severed(person: User) -> None:
    place("2031-17", "app.addresses", where="user_id = 4")
    ran(purge_run(policy=soft_policy(), requester=person))
    assert active("users") == [4, 7, 8, 9, 10, 11, 12]
    assert ids("addresses", "user_id IS NOT NULL") == [4, 7, 8, 9, 10, 11, 12]


@pytest.mark.usefixtures("bin_shop")
def test_what_refers_and_stays_keeps_a_record_out_of_the_bin(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.claims (id int PRIMARY KEY, line_id int REFERENCES app.lines)")
    execute("INSERT INTO app.claims VALUES (1, 8)")
    run = ran(purge_run(policy=soft_policy(), requester=person))
    assert active("users") == [2, 7, 8, 9, 10, 11, 12]
    assert run.done == 5 * 9
    assert_counts_true()


@pytest.mark.usefixtures("bin_shop")
def test_a_record_that_takes_longer_than_a_step_stays_and_the_log_says_so(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bin_entering, "STATEMENT_LIMIT", 0.4)
    execute(
        "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.order_id = 7 THEN PERFORM pg_catalog.pg_sleep(0.5); END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER slow BEFORE UPDATE ON app.lines FOR EACH ROW EXECUTE FUNCTION app.slow()"
    )
    run = ran(purge_run(policy=soft_policy(), requester=person))
    assert active("users") == [4, 7, 8, 9, 10, 11, 12]
    assert run.done == 5 * 9
    told = " ".join(messages(run))
    assert "A record of 9 rows is too large to go into the bin within one step" in told
    assert_counts_true()
