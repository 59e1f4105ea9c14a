"""Partitions that have expired as a whole are archived, detached and dropped."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from operations.catalogue.read import table as read_table
from operations.conditions.parse import parse_condition
from operations.conditions.structure import to_json
from operations.models import Certificate
from retention.models import Archive, ArchivePart
from retention.selectors.due import DueRows
from retention.selectors.partition_units import partition_units
from retention.services import partition_phase
from retention.services.purge_start import purge_preview, purge_run

from .holding import place
from .partitioned import (
    TABLE,
    YEARS,
    Execute,
    dropped,
    make_hits,
    partitions,
    tables,
)
from .purging import assert_whole, files, live, make_policy, ran

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed", "small_batches")]
ALL = {f"app.hits_{year}": 400 for year in YEARS}


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_phase, "PAGES", (1, 1, 1))


def test_expired_partitions_are_archived_and_dropped(execute: Execute, person: User) -> None:
    make_hits(execute)
    size = execute(
        "SELECT sum(pg_total_relation_size(i.inhrelid)) FROM pg_inherits i"
        " WHERE inhparent = 'app.hits'::regclass AND inhrelid::regclass::text <> 'app.hits_2099'"
    )
    before = live(TABLE)
    run = ran(purge_run(policy=make_policy("hits"), requester=person))
    assert run.done == run.total == 1600
    assert dropped(run) == ALL
    assert tables(execute) == ["hits", "hits_2099"]
    assert partitions(execute) == ["app.hits_2099"]
    assert_whole(before, table=TABLE)
    assert ArchivePart.objects.count() > 2 * len(YEARS)
    assert run.result["space"]["returned_bytes"] == size[0][0]
    assert (run.result["space"]["reusable_bytes"], run.result["space"]["hint"]) == (0, "")
    body = Certificate.objects.get().body["body"]
    assert body["bytes_returned_to_the_system"] == size[0][0]
    assert body["bytes_reusable_in_the_tables"] == 0
    assert {each["table"]: each["rows"] for each in body["partitions_dropped"]} == ALL
    assert body["tables"] == [{"table": TABLE, "rows": 1600}]
    assert Archive.objects.get().rows == 1600


def test_without_an_archive_they_are_counted_and_dropped(execute: Execute, person: User) -> None:
    make_hits(execute)
    run = ran(purge_run(policy=make_policy("hits", archive=False), requester=person))
    assert (run.done, dropped(run)) == (1600, ALL)
    assert tables(execute) == ["hits", "hits_2099"]
    assert files() == set()


@pytest.mark.parametrize("age", ["date", "timestamp", "timestamptz"])
def test_a_partition_that_ends_with_the_cutoff_goes_and_the_next_one_stays(
    execute: Execute, person: User, age: str, settings: Any
) -> None:
    """A day without zone ends at midnight of the console's zone, one with zone when it says."""
    settings.TIME_ZONE = settings.CUSTODY_TIME_ZONE = "Asia/Tokyo"
    execute(f"CREATE TABLE app.hits (created_at {age} NOT NULL) PARTITION BY RANGE (created_at)")
    execute("SET TimeZone = 'Asia/Tokyo'")
    for day in range(-2, 2):
        execute(
            f"DO $$ BEGIN EXECUTE format('CREATE TABLE app.hits_{day + 2} PARTITION OF app.hits"
            " FOR VALUES FROM (%L) TO (%L)',"
            f" (now() AT TIME ZONE 'Asia/Tokyo')::date - 365 + {day},"
            f" (now() AT TIME ZONE 'Asia/Tokyo')::date - 365 + {day} + 1); END $$"
        )
    execute("SET TimeZone = 'America/Los_Angeles'")
    plan = purge_preview(policy=make_policy("hits"))
    assert [each["table"] for each in plan.facts["partitions_dropped"]] == [
        "app.hits_0",
        "app.hits_1",
    ]


def test_an_obstacle_leaves_a_partition_to_the_batches(execute: Execute, person: User) -> None:
    """The others are dropped all the same."""
    make_hits(execute)
    execute("CREATE VIEW app.seen AS SELECT count(*) FROM app.hits_2018")
    execute("CREATE FUNCTION app.see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'")
    execute(
        "CREATE TRIGGER see AFTER DELETE ON app.hits_2019 FOR EACH ROW EXECUTE FUNCTION app.see()"
    )
    before = live(TABLE)
    policy = make_policy("hits")
    reasons = purge_preview(policy=policy).facts["partitions_by_batches"]
    assert reasons == [
        {"table": "app.hits_2018", "why": "view app.seen depends on app.hits_2018"},
        {
            "table": "app.hits_2019",
            "why": "the trigger see of app.hits_2019 is to see every DELETE",
        },
    ]
    run = ran(purge_run(policy=policy, requester=person))
    assert (run.done, set(dropped(run))) == (1600, {"app.hits_2020", "app.hits_2021"})
    assert tables(execute) == ["hits", "hits_2018", "hits_2019", "hits_2099"]
    assert_whole(before, table=TABLE)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (
            "CREATE TABLE app.rest PARTITION OF app.hits DEFAULT",
            "app.hits has a default partition, and then none is detached unnoticed",
        ),
        (
            (
                "CREATE TABLE app.notes (id bigint, created_at timestamptz,"
                " FOREIGN KEY (id, created_at) REFERENCES app.hits)"
            ),
            "rows of app.notes may refer to it (notes_id_created_at_fkey)",
        ),
    ],
)
def test_what_stands_before_all_of_them_leaves_all_to_the_batches(
    execute: Execute, person: User, more: str, why: str
) -> None:
    make_hits(execute, more=more)
    before = live(TABLE)
    policy = make_policy("hits")
    reasons = purge_preview(policy=policy).facts["partitions_by_batches"]
    assert {each["table"] for each in reasons} == set(ALL)
    assert {each["why"] for each in reasons} == {why}
    run = ran(purge_run(policy=policy, requester=person))
    assert (run.done, dropped(run)) == (1600, {})
    assert set(ALL) < set(partitions(execute))
    assert_whole(before, table=TABLE)


def test_a_condition_is_asked_of_every_row(execute: Execute, person: User) -> None:
    make_hits(execute)
    keep = to_json(parse_condition("id = 20190001", read_table("app.hits")))
    run = ran(purge_run(policy=make_policy("hits", keep_condition=keep), requester=person))
    assert (run.done, dropped(run)) == (1599, {})


def test_a_hold_on_one_row_keeps_its_partition_and_no_other(execute: Execute, person: User) -> None:
    make_hits(execute)
    before = live(TABLE)
    place("2031-17", "app.hits", where="id = 20190007")
    policy = make_policy("hits")
    [reason] = purge_preview(policy=policy).facts["partitions_by_batches"]
    assert reason == {"table": "app.hits_2019", "why": "rows of it are protected by hold 2031-17"}
    run = ran(purge_run(policy=policy, requester=person))
    assert (run.done, set(dropped(run))) == (1599, set(ALL) - {"app.hits_2019"})
    assert execute("SELECT id FROM app.hits_2019") == [(20190007,)]
    assert_whole(before, table=TABLE)


def test_a_whole_tree_of_partitions_goes_at_once(execute: Execute, person: User) -> None:
    """Its columns stand in another order; it holds its rows in two leaves, and one is empty."""
    make_hits(execute)
    execute(
        "CREATE TABLE app.deep (note text, gone int, created_at timestamptz NOT NULL,"
        " shout text GENERATED ALWAYS AS (note || '!') STORED, id bigint NOT NULL)"
        " PARTITION BY HASH (id)"
    )
    execute("ALTER TABLE app.deep DROP COLUMN gone")
    for part in range(3):
        execute(
            f"CREATE TABLE app.deep_{part} PARTITION OF app.deep"
            f" FOR VALUES WITH (MODULUS 3, REMAINDER {part})"
        )
    execute(
        "ALTER TABLE app.hits ATTACH PARTITION app.deep"
        " FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')"
    )
    execute("INSERT INTO app.hits SELECT n, '2022-06-01', 'deep' FROM generate_series(1, 300) n")
    execute("DELETE FROM app.deep_1")
    before = live(TABLE)
    due = sum(before.values()) - 2
    run = ran(purge_run(policy=make_policy("hits"), requester=person))
    assert (run.done, dropped(run)["app.deep"]) == (due, due - 1600)
    assert tables(execute) == ["hits", "hits_2099"]
    assert_whole(before, table=TABLE)
    names = set(ArchivePart.objects.values_list("table_name", flat=True))
    assert {"deep_0", "deep_2"} < names
    assert "deep_1" not in names


def test_expired_parts_of_a_partition_by_country_go_one_by_one(
    execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.hits (country text, created_at timestamptz) PARTITION BY LIST (country)"
    )
    execute("CREATE TABLE app.rest PARTITION OF app.hits DEFAULT")
    execute(
        "CREATE TABLE app.de PARTITION OF app.hits FOR VALUES IN ('de')"
        " PARTITION BY RANGE (created_at)"
    )
    execute(
        "CREATE TABLE app.de_old PARTITION OF app.de FOR VALUES FROM (MINVALUE) TO ('2020-01-01')"
    )
    execute(
        "CREATE TABLE app.de_new PARTITION OF app.de FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)"
    )
    execute("INSERT INTO app.hits VALUES ('de', '2019-01-01'), ('de', now()), ('fr', '2019-01-01')")
    before = live(TABLE)
    run = ran(purge_run(policy=make_policy("hits"), requester=person))
    assert (run.done, dropped(run)) == (2, {"app.de_old": 1})
    assert tables(execute) == ["de", "de_new", "hits", "rest"]
    assert_whole(before, table=TABLE)


def test_a_partition_of_another_owner_is_purged_by_batches(execute: Execute) -> None:
    if not execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0][0]:
        pytest.skip("A plain role gives no table away.")
    make_hits(execute)
    execute("CREATE ROLE hits_owner")
    execute("CREATE ROLE hits_console")
    try:
        execute("ALTER TABLE app.hits_2019 OWNER TO hits_owner")
        for name in ("hits", "hits_2018", "hits_2020", "hits_2021"):
            execute(f"ALTER TABLE app.{name} OWNER TO hits_console")
        execute("GRANT USAGE ON SCHEMA app TO hits_console")
        rows = DueRows(read_table("app.hits"), "created_at", timezone.now(), None)
        execute("SET ROLE hits_console")
        found = {str(unit.table): unit.obstacle for unit in partition_units(rows, using="default")}
        execute("RESET ROLE")
        assert found.pop("app.hits_2019") == (
            "app.hits_2019 belongs to hits_owner, and the console is no member of that role"
        )
        assert found == {"app.hits_2018": "", "app.hits_2020": "", "app.hits_2021": ""}
    finally:
        execute("RESET ROLE")
        execute("DROP OWNED BY hits_owner, hits_console CASCADE")
        execute("DROP ROLE hits_owner, hits_console")


def test_subscribers_of_a_publication_learn_of_a_delete_only(execute: Execute) -> None:
    make_hits(execute)
    execute("CREATE PUBLICATION p FOR TABLE app.hits")
    rows = DueRows(read_table("app.hits"), "created_at", timezone.now(), None)
    try:
        assert {unit.obstacle for unit in partition_units(rows, using="default")} == {
            "subscribers of the publication p learn of a DELETE only"
        }
    finally:
        execute("DROP PUBLICATION p")
