"""Partitioned tables are purged leaf by leaf, and only as long as a leaf belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from operations.models import Run
from retention.models import ArchivePart
from retention.services.purge_start import purge_run

from .purging import assert_whole, live, make_policy, ran

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed", "small_batches")]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def hits(execute: Execute) -> str:
    """By year; one year by country below; a default; a leaf whose columns stand otherwise."""
    execute(
        "CREATE TABLE app.hits (id bigint, created_at timestamptz, country text, note text)"
        " PARTITION BY RANGE (created_at)"
    )
    execute(
        "CREATE TABLE app.a_2019 PARTITION OF app.hits"
        " FOR VALUES FROM ('2019-01-01') TO ('2020-01-01')"
    )
    execute(
        "CREATE TABLE app.b_2020 PARTITION OF app.hits FOR VALUES FROM ('2020-01-01')"
        " TO ('2021-01-01') PARTITION BY LIST (country)"
    )
    execute("CREATE TABLE app.b_2020_de PARTITION OF app.b_2020 FOR VALUES IN ('de')")
    execute("CREATE TABLE app.b_2020_other PARTITION OF app.b_2020 DEFAULT")
    execute(
        "CREATE TABLE app.c_2021"
        " (note text, gone int, country text, created_at timestamptz, id bigint)"
    )
    execute("ALTER TABLE app.c_2021 DROP COLUMN gone")
    execute(
        "ALTER TABLE app.hits ATTACH PARTITION app.c_2021"
        " FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')"
    )
    execute("CREATE TABLE app.rest PARTITION OF app.hits DEFAULT")
    execute(
        "INSERT INTO app.hits SELECT n, timestamptz '2019-01-01' + n * interval '12 hours',"
        " CASE n % 3 WHEN 0 THEN 'de' WHEN 1 THEN 'fr' END, repeat('x', 200)"
        " FROM generate_series(1, 2800) n"
    )
    execute("INSERT INTO app.hits VALUES (9001, now(), 'de', ''), (9002, NULL, 'de', NULL)")
    return "app.hits"


def test_every_leaf_is_purged_with_the_default_and_what_is_below(
    execute: Execute, person: User, hits: str
) -> None:
    before = live(hits)
    run = ran(purge_run(policy=make_policy("hits"), requester=person))
    assert run.done == 2800
    assert execute("SELECT id FROM app.hits ORDER BY id") == [(9001,), (9002,)]
    assert set(ArchivePart.objects.values_list("table_name", flat=True)) == {
        "a_2019",
        "b_2020_de",
        "b_2020_other",
        "c_2021",
        "rest",
    }
    assert_whole(before, table=hits)


@pytest.mark.parametrize(
    "what", ["ALTER TABLE app.hits DETACH PARTITION app.c_2021", "DROP TABLE app.c_2021"]
)
def test_a_partition_that_leaves_during_the_run_is_left_alone(
    execute: Execute, person: User, hits: str, what: str
) -> None:
    others = sum(live(hits).values()) - execute("SELECT count(*) FROM app.c_2021")[0][0]
    left = False

    def leave(run: Run) -> None:
        nonlocal left
        if run.done > 100 and not left:
            left = True
            execute(what)

    run = ran(purge_run(policy=make_policy("hits"), requester=person, on_progress=leave))
    assert run.done == others - 2
    assert execute("SELECT id FROM app.hits ORDER BY id") == [(9001,), (9002,)]
    if "DETACH" in what:
        assert execute("SELECT count(*) FROM app.c_2021") == [(730,)]


def test_a_partition_that_comes_during_the_run_is_for_the_next(
    execute: Execute, person: User, hits: str
) -> None:
    came = False

    def come(run: Run) -> None:
        nonlocal came
        if run.done > 100 and not came:
            came = True
            execute("CREATE TABLE app.z_1999 (LIKE app.hits)")
            execute("INSERT INTO app.z_1999 VALUES (1, '1999-05-05', 'de', 'late')")
            execute(
                "ALTER TABLE app.hits ATTACH PARTITION app.z_1999"
                " FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')"
            )

    policy = make_policy("hits")
    assert ran(purge_run(policy=policy, requester=person, on_progress=come)).done == 2800
    assert ran(purge_run(policy=policy, requester=person)).done == 1
