"""What is in the bin is destroyed whatever its foreign keys are: circles, trees, composite keys,
partitions; and what a trigger of the application keeps, stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from retention.models import Deletion
from retention.services import purge
from retention.services.purge_start import purge_run

from .binned import (
    active,
    assert_counts_true,
    binned,
    ever_policy,
    grace_over,
    ids,
    make_shop,
    soft_policy,
)
from .purging import messages, ran
from .records import assert_all_there, state
from .softdeleting import enable, soft_delete

pytestmark = pytest.mark.usefixtures("governed", "sizes")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(params=[(2_000, 1, 200_000), (3, 1, 3)], ids=["whole", "sliced"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "_RECORDS", request.param)


def test_a_tree_and_a_circle_of_one_table(execute: Execute, person: User) -> None:
    execute(
        "CREATE TABLE app.nodes (id int PRIMARY KEY, up int REFERENCES app.nodes"
        " ON DELETE CASCADE DEFERRABLE)"
    )
    # 1 above 2 above 4 ...; 11 to 13 in a circle; 20 refers to itself.
    execute("INSERT INTO app.nodes SELECT n, nullif(n / 2, 0) FROM generate_series(1, 10) n")
    execute("INSERT INTO app.nodes VALUES (11, NULL), (12, 11), (13, 12), (20, 20), (30, NULL)")
    execute("UPDATE app.nodes SET up = 13 WHERE id = 11")
    execute("CREATE INDEX ON app.nodes (up)")
    enable("nodes")
    first = soft_delete("nodes", 4)
    for key in (1, 12, 20):
        soft_delete("nodes", key)
    before = state("nodes")
    grace_over()
    Deletion.objects.filter(pk=first.pk).update(purge_after=None)
    run = ran(purge_run(policy=ever_policy("nodes"), requester=person))
    # Node 4 was deleted before, and has no end: what it refers to waits, with all of its tree.
    assert binned("nodes") == list(range(1, 11))
    assert run.done == 3 + 1
    assert_all_there(before)
    assert_counts_true("nodes")
    grace_over()
    ran(purge_run(policy=ever_policy("nodes", name="again"), requester=person))
    assert ids("nodes") == [30]
    assert_counts_true("nodes")


def test_tables_that_refer_to_each_other(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.teams (id int PRIMARY KEY, lead int)")
    execute(
        "CREATE TABLE app.people (id int PRIMARY KEY, team int REFERENCES app.teams"
        " ON DELETE CASCADE)"
    )
    execute("ALTER TABLE app.teams ADD FOREIGN KEY (lead) REFERENCES app.people ON DELETE CASCADE")
    execute("INSERT INTO app.teams SELECT n, NULL FROM generate_series(1, 4) n")
    execute("INSERT INTO app.people SELECT n, 1 + n % 4 FROM generate_series(1, 12) n")
    execute(
        "UPDATE app.teams t SET lead = (SELECT min(p.id) FROM app.people p WHERE p.team = t.id)"
    )
    for name in ("teams", "people"):
        enable(name)
    soft_delete("teams", 1)
    soft_delete("people", 1)
    before = state("teams", "people")
    grace_over()
    for name in ("teams", "people"):
        ran(purge_run(policy=ever_policy(name), requester=person))
    assert (ids("teams"), len(ids("people"))) == ([3, 4], 6)
    assert_all_there(before)
    assert_counts_true("teams", "people")


def test_composite_keys_and_partitions(execute: Execute, person: User) -> None:
    execute(
        "CREATE TABLE app.trips (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)"
    )
    for year in (2030, 2031):
        execute(
            f"CREATE TABLE app.trips_{year} PARTITION OF app.trips"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )
    execute(
        "CREATE TABLE app.stops (trip int, day date, id int, PRIMARY KEY (trip, day, id),"
        " FOREIGN KEY (trip, day) REFERENCES app.trips ON DELETE CASCADE)"
    )
    execute(
        "INSERT INTO app.trips SELECT n, make_date(2030 + n % 2, 3, 1) FROM generate_series(1, 8) n"
    )
    execute("INSERT INTO app.stops SELECT t.id, t.day, s FROM app.trips t, generate_series(1, 3) s")
    for name in ("trips", "stops"):
        enable(name)
    soft_delete("trips", (1, "2031-03-01"), (2, "2030-03-01"))
    before = state("trips", "stops")
    grace_over()
    run = ran(purge_run(policy=ever_policy("trips"), requester=person))
    assert run.done == 2 + 6
    assert ids("trips") == [3, 4, 5, 6, 7, 8]
    assert_all_there(before)
    assert_counts_true("trips", "stops")


def test_a_deletion_that_began_in_several_tables_goes_whole(execute: Execute, person: User) -> None:
    """As one transaction of the application makes it."""
    make_shop(execute)
    execute("CREATE TABLE app.notes (id int PRIMARY KEY, note text)")
    execute("INSERT INTO app.notes SELECT n, 'n' || n FROM generate_series(1, 9) n")
    notes = enable("notes")
    deletion = soft_delete("users", 9)
    execute(
        "UPDATE app.notes SET deleted_at = now(), deleted_by = 'app:1', deletion_id = %s"
        " WHERE id > 5",
        [deletion.pk],
    )
    deletion.tables.create(
        schema_name="app", table_name="notes", table_oid=notes.table_oid, level=0, deleted=4
    )
    before = state("users", "orders", "lines", "notes")
    grace_over()
    run = ran(purge_run(policy=ever_policy(), requester=person))
    assert run.done == 9 + 4
    assert ids("notes") == [1, 2, 3, 4, 5]
    assert {each["table"]: each["rows"] for each in run.result["tables"]} == {
        "app.users": 1,
        "app.orders": 2,
        "app.lines": 6,
        "app.notes": 4,
    }
    assert_all_there(before)
    assert_counts_true("users", "orders", "lines", "notes")
    deletion.refresh_from_db()
    assert deletion.state == "purged"


def test_what_a_trigger_keeps_stays_and_the_rest_goes(execute: Execute, person: User) -> None:
    make_shop(execute)
    execute(
        "CREATE FUNCTION app.keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN CASE WHEN OLD.id = 17 THEN NULL ELSE OLD END; END $$"
    )
    execute(
        "CREATE TRIGGER keep BEFORE DELETE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.keep()"
    )
    kept, gone = soft_delete("users", 9), soft_delete("users", 10)
    grace_over()
    before = state("users", "orders", "lines")
    run = ran(purge_run(policy=ever_policy(), requester=person))
    kept.refresh_from_db()
    gone.refresh_from_db()
    assert (kept.state, gone.state) == ("deleted", "purged")
    assert binned("users") == [9]
    assert any("Some rows of the bin are left" in each for each in messages(run))
    assert_all_there(before)
    assert_counts_true()


def test_what_a_trigger_keeps_from_the_bin_is_active_and_the_rest_goes_in(
    execute: Execute, person: User
) -> None:
    make_shop(execute)
    execute(
        "CREATE FUNCTION app.keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN CASE WHEN OLD.id = 3 THEN NULL ELSE NEW END; END $$"
    )
    execute(
        "CREATE TRIGGER keep BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.keep()"
    )
    ran(purge_run(policy=soft_policy(), requester=person))
    assert active("users") == [3, 7, 8, 9, 10, 11, 12]
    assert 5 in active("orders")
    assert_counts_true()
