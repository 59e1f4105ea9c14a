"""Purges of tables that have soft delete, by policies that do not delete softly; and what the rest
of the console makes of rows in the bin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from operations.catalogue.read import table as read_table
from retention.exceptions import DeletionRefused
from retention.models import Deletion, SoftDeleteTable
from retention.selectors.deletion_holds import severed_held
from retention.selectors.hold_counts import rows_held_by
from retention.services.purge_start import purge_run
from retention.services.record_delete import record_delete

from .archiving import restore
from .binned import (
    TABLES,
    active,
    assert_counts_true,
    binned,
    ever_policy,
    grace_over,
    ids,
    make_shop,
)
from .holding import place
from .purging import ran
from .records import assert_all_there, record_policy, state
from .softdeleting import app, enable, soft_delete

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.mark.usefixtures("bin_shop", "bin_sizes")
def test_rows_in_the_bin_reach_the_end_of_their_term_like_others(
    execute: Execute, person: User
) -> None:
    execute("DROP TABLE app.addresses")
    whole, part = soft_delete("users", 3), soft_delete("users", 4, 9)
    before = state(*TABLES)
    ran(purge_run(policy=record_policy("users", ["orders", "lines"]), requester=person))
    assert ids("users") == [7, 8, 9, 10, 11, 12]
    assert binned("users") == [9]
    assert_all_there(before)
    whole.refresh_from_db()
    part.refresh_from_db()
    assert (whole.state, part.state) == ("purged", "deleted")
    assert {(each.table_name, each.purged, each.rows) for each in part.tables.all()} == {
        ("users", 1, 1),
        ("orders", 2, 2),
        ("lines", 6, 6),
    }
    assert_counts_true()


def test_a_table_alone_and_without_archive(governed: str, execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.events (id int PRIMARY KEY, created_at timestamptz)")
    execute("INSERT INTO app.events SELECT n, '2015-01-01' FROM generate_series(1, 50) n")
    enable("events", capture=True)
    soft_delete("events", 7, 8)
    policy = record_policy("events", [], archive=False)
    assert ran(purge_run(policy=policy, requester=person)).done == 50
    assert ids("events") == []
    assert Deletion.objects.get().state == "purged"
    assert_counts_true("events")


def test_a_partition_that_is_dropped_whole_is_counted_too(
    governed: str, execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.events (id int, created_at timestamptz, PRIMARY KEY (id, created_at))"
        " PARTITION BY RANGE (created_at)"
    )
    for year in (2015, 2016, 2090):
        execute(
            f"CREATE TABLE app.events_{year} PARTITION OF app.events"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )
    execute(
        "INSERT INTO app.events SELECT n, make_date(2015 + n % 2, 6, 1)"
        " FROM generate_series(1, 20) n"
    )
    enable("events")
    soft_delete("events", ("2", "2015-06-01"), ("3", "2016-06-01"))
    run = ran(purge_run(policy=record_policy("events", []), requester=person))
    assert len(run.result["partitions_dropped"]) == 2
    assert execute("SELECT count(*) FROM app.events") == [(0,)]
    deletion = Deletion.objects.get()
    assert (deletion.state, deletion.tables.get().purged) == ("purged", 2)


def test_what_a_purge_destroys_does_not_go_into_the_bin_by_capture(
    governed: str, execute: Execute, person: User
) -> None:
    make_shop(execute, capture=True)
    soft_delete("users", 9)
    grace_over()
    assert ran(purge_run(policy=ever_policy(), requester=person)).done == 9
    execute("DROP TABLE app.addresses")
    old = record_policy("users", ["orders", "lines"], name="old users")
    assert ran(purge_run(policy=old, requester=person)).done == 6 * 9
    assert ids("users") == [7, 8, 10, 11, 12]
    assert [binned(table) for table in TABLES] == [[], [], []]
    assert Deletion.objects.count() == 1


@pytest.mark.usefixtures("bin_shop")
def test_rows_come_back_from_an_archive_as_active_ones(execute: Execute, person: User) -> None:
    before = state("addresses")
    soft_delete("users", 9)
    grace_over()
    run = ran(purge_run(policy=ever_policy(), requester=person))
    archives = {each.table_name: each for each in run.archives.all()}
    assert archives["users"].layout["marks"] == ["deleted_at", "deleted_by", "deletion_id"]
    for table in TABLES:
        code, found = restore(archives[table])
        assert (code, found["conflict_count"]) == (0, 0), found
    assert active("users") == ids("users") == list(range(1, 13))
    assert len(active("lines")) == 72
    assert execute("SELECT count(*) FROM app.users WHERE deletion_id IS NOT NULL") == [(0,)]
    assert ids("addresses", "user_id IS NULL") == [9]
    assert before != state("addresses")
    assert_counts_true()


@pytest.mark.usefixtures("bin_shop")
def test_also_when_the_table_has_no_soft_delete_any_more(execute: Execute, person: User) -> None:
    soft_delete("users", 9)
    grace_over()
    run = ran(purge_run(policy=ever_policy(), requester=person))
    for table in TABLES:
        execute(f"SELECT custody.softdelete_shield_drop('app.{table}'::regclass::oid)")
        execute(
            f"ALTER TABLE app.{table} DROP COLUMN deleted_at, DROP COLUMN deleted_by,"
            " DROP COLUMN deletion_id"
        )
    SoftDeleteTable.objects.update(disabled_at="2026-01-01T00:00Z")
    for table in TABLES:
        code, found = restore(run.archives.get(table_name=table))
        assert (code, found["conflict_count"]) == (0, 0), found
    assert ids("users") == list(range(1, 13))


@pytest.mark.usefixtures("bin_shop")
def test_a_hold_counts_what_is_in_the_bin(person: User) -> None:
    soft_delete("users", 9)
    hold = place("2031-17", "app.users", where="id > 8")
    assert [each.rows.rows for each in rows_held_by(hold)] == [4]
    named = place("2031-18", "app.users", rows=["9"])
    assert [each.rows.rows for each in rows_held_by(named)] == [1]


@pytest.mark.usefixtures("bin_shop")
def test_a_hold_whose_condition_looks_at_what_would_be_severed_is_found(person: User) -> None:
    users = read_table(app("users"))
    assert severed_held(table=users, record_id="4") == []
    place("2031-17", "app.addresses", where="user_id = 4")
    place("2031-18", "app.lines", where="id = 1")
    [found] = severed_held(table=users, record_id="4")
    assert (found.table, found.rows, found.by) == (app("addresses"), 1, ("hold 2031-17",))
    assert severed_held(table=users, record_id="5") == []
    assert severed_held(table=read_table(app("orders")), record_id="7") == []
    assert "which hold 2031-17 forbids" in str(found)
    tried = record_delete(table=app("users"), record_id="4", actor=person, dry_run=True)
    assert [each["held_by"] for each in tried.refused] == [["hold 2031-17"]]
    with pytest.raises(DeletionRefused, match=r"which hold 2031-17 forbids\. Nothing was deleted"):
        record_delete(table=app("users"), record_id="4", actor=person)
    assert Deletion.objects.get().state == "refused"
    assert 4 in active("users")
    assert ids("addresses", "user_id = 4") == [4]
    record_delete(table=app("users"), record_id="5", actor=person)


@pytest.mark.usefixtures("bin_shop")
def test_it_is_found_below_the_record_too(execute: Execute, person: User) -> None:
    execute(
        "CREATE TABLE app.tags (id int PRIMARY KEY, line_id int REFERENCES app.lines"
        " ON DELETE SET NULL)"
    )
    execute("INSERT INTO app.tags SELECT n, n FROM generate_series(1, 72) n")
    place("2031-17", "app.tags", rows=["20"])
    # Line 20 is of order 7, which is of user 4.
    [found] = severed_held(table=read_table(app("users")), record_id="4")
    assert (found.table, found.rows) == (app("tags"), 1)
    assert severed_held(table=read_table(app("users")), record_id="3") == []
