"""Rows go with what refers to them: children first, archived, whole records or none of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.auth.models import User

from operations.catalogue.read import table as read_table
from operations.conditions.parse import parse_condition
from operations.conditions.structure import to_json
from operations.models import Certificate
from retention.models import Archive
from retention.services import purge
from retention.services.purge_start import purge_run

from .holding import place
from .purging import live, make_policy, ran
from .records import archives, assert_all_there, record_policy, state

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
OLD = "timestamptz '2015-01-01' + n * interval '1 hour'"


@pytest.fixture
def orders(governed: str, execute: Execute) -> tuple[str, ...]:
    """Orders 1 to 6 are due, 7 to 10 are not; each has three lines, each line two picks."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz, note text)")
    execute(
        "CREATE TABLE app.lines (id int PRIMARY KEY,"
        " ordered int REFERENCES app.orders ON DELETE CASCADE, note text)"
    )
    execute("CREATE TABLE app.picks (line int REFERENCES app.lines ON DELETE SET NULL, note text)")
    execute(
        f"INSERT INTO app.orders SELECT n, CASE WHEN n <= 6 THEN {OLD} ELSE now() END, 'o' || n"
        " FROM generate_series(1, 10) n"
    )
    execute("INSERT INTO app.lines SELECT n, 1 + n % 10, 'l' || n FROM generate_series(1, 30) n")
    execute("INSERT INTO app.picks SELECT 1 + n % 30, 'p' || n FROM generate_series(1, 60) n")
    execute("CREATE INDEX ON app.lines (ordered)")
    execute("CREATE INDEX ON app.picks (line)")
    return ("orders", "lines", "picks")


@pytest.fixture(params=[(2_000, 1, 200_000), (5, 1, 5)], ids=["whole", "sliced"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """Steps in which many records fit, and steps in which not even one does."""
    monkeypatch.setattr(purge, "_RECORDS", request.param)
    size: tuple[int, int, int] = request.param
    return size


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("archive", [True, False])
def test_what_belongs_to_a_due_row_goes_with_it_and_nothing_else(
    execute: Execute, person: User, orders: tuple[str, ...], archive: bool
) -> None:
    policy = record_policy("orders", ["lines", "picks"], archive=archive)
    before = state(*orders)
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 6 + 18 + 36
    assert execute("SELECT min(id), count(*) FROM app.orders") == [(7, 4)]
    assert execute("SELECT count(*) FROM app.lines") == [(12,)]
    assert execute("SELECT count(*), count(line) FROM app.picks") == [(24, 24)]
    tables = [
        {"table": "app.orders", "rows": 6},
        {"table": "app.lines", "rows": 18},
        {"table": "app.picks", "rows": 36},
    ]
    assert run.result["tables"] == tables
    assert Certificate.objects.get().body["body"]["tables"] == tables
    if archive:
        assert_all_there(before)
        root, *others = [Archive.objects.get(name=name) for name in run.result["archives"]]
        assert run.result["archive"] == root.name
        assert {each.root for each in others} == {root}
        assert [each.name for each in others] == [f"{root.name}-lines", f"{root.name}-picks"]
        assert [each.rows for each in (root, *others)] == [6, 18, 36]


@pytest.mark.usefixtures("sizes")
def test_a_held_leaf_keeps_its_record_whole(
    execute: Execute, person: User, orders: tuple[str, ...]
) -> None:
    execute("ALTER TABLE app.picks ADD COLUMN id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
    place("2031-17", "app.picks", where="note = 'p4'")
    before = state(*orders)
    # Pick 4 is of line 5, which is of order 6.
    run = ran(purge_run(policy=record_policy("orders", ["lines", "picks"]), requester=person))
    assert execute("SELECT id FROM app.orders WHERE id <= 6") == [(6,)]
    assert execute("SELECT count(*) FROM app.lines WHERE ordered = 6") == [(3,)]
    assert execute(
        "SELECT count(*) FROM app.picks JOIN app.lines l ON l.id = line WHERE ordered = 6"
    ) == [(6,)]
    assert run.done == 5 * 10
    assert_all_there(before)


@pytest.mark.usefixtures("sizes")
def test_what_another_table_refers_to_keeps_its_record_whole(
    execute: Execute, person: User, orders: tuple[str, ...]
) -> None:
    execute("CREATE TABLE app.claims (line int REFERENCES app.lines)")
    execute("INSERT INTO app.claims VALUES (5)")
    before = state(*orders)
    run = ran(purge_run(policy=record_policy("orders", ["lines", "picks"]), requester=person))
    assert execute("SELECT id FROM app.orders WHERE id <= 6") == [(6,)]
    assert run.done == 5 * 10
    assert_all_there(before)


def test_a_table_held_as_a_whole_keeps_every_record_that_reaches_into_it(
    execute: Execute, person: User, orders: tuple[str, ...]
) -> None:
    execute("DELETE FROM app.picks USING app.lines l WHERE l.id = line AND ordered = 5")
    place("2031-18", "app.picks")
    before = state(*orders)
    run = ran(purge_run(policy=record_policy("orders", ["lines", "picks"]), requester=person))
    assert (run.done, execute("SELECT 1 FROM app.orders WHERE id = 5")) == (4, [])
    assert_all_there(before)


# What refers to what.


def test_twelve_levels_of_children(execute: Execute, person: User) -> None:
    names = [f"level_{number}" for number in range(13)]
    execute("CREATE TABLE app.level_0 (id int PRIMARY KEY, created_at timestamptz)")
    for above, name in pairwise(names):
        execute(
            f"CREATE TABLE app.{name} (id int PRIMARY KEY, up int NOT NULL REFERENCES app.{above})"
        )
        execute(f"CREATE INDEX ON app.{name} (up)")
    execute(f"INSERT INTO app.level_0 SELECT n, {OLD} FROM generate_series(1, 20) n")
    execute("UPDATE app.level_0 SET created_at = now() WHERE id > 10")
    for name in names[1:]:
        execute(f"INSERT INTO app.{name} SELECT n, 1 + n % 20 FROM generate_series(1, 20) n")
    before = state(*names)
    run = ran(purge_run(policy=record_policy("level_0", names[1:]), requester=person))
    assert [each["rows"] for each in run.result["tables"]] == [10] * 13
    assert_all_there(before)
    for name, above in pairwise(reversed(names)):
        orphans = f"SELECT FROM app.{name} WHERE up NOT IN (SELECT id FROM app.{above})"
        assert execute(f"SELECT EXISTS ({orphans})") == [(False,)]


@pytest.mark.parametrize("rule", ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL"])
def test_a_deep_tree_in_one_table(
    execute: Execute, person: User, rule: str, sizes: tuple[int, int, int]
) -> None:
    depth = 50 if sizes[0] > 100 else 15  # A step takes a level or two of them.
    execute(
        "CREATE TABLE app.posts (id int PRIMARY KEY,"
        f" reply_to int REFERENCES app.posts ON DELETE {rule}, created_at timestamptz)"
    )
    execute("CREATE INDEX ON app.posts (reply_to)")
    # Four trees: only the first post of each is old, and of the last not even that.
    execute(
        "INSERT INTO app.posts SELECT n, CASE WHEN n > 4 THEN n - 4 END,"
        f" CASE WHEN n < 4 THEN {OLD} ELSE now() END FROM generate_series(1, {4 * depth + 4}) n"
    )
    execute("CREATE TABLE app.pins (post int REFERENCES app.posts)")
    execute(f"INSERT INTO app.pins VALUES ({4 * depth - 2})")
    before = state("posts")
    run = ran(purge_run(policy=record_policy("posts", ["posts"]), requester=person))
    assert run.done == 2 * (depth + 1)
    # The tree of the fresh post, and the one with a pin in it.
    assert execute("SELECT DISTINCT id % 4 FROM app.posts ORDER BY 1") == [(0,), (2,)]
    assert_all_there(before)


def test_rows_that_the_condition_keeps_stay_also_where_they_would_go_along(
    execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.posts (id int PRIMARY KEY, reply_to int REFERENCES app.posts,"
        " pinned bool, created_at timestamptz DEFAULT now())"
    )
    execute(
        "INSERT INTO app.posts VALUES (1, NULL, false, '2015-01-01'), (2, 1, true, now()),"
        " (3, NULL, false, '2015-01-01'), (4, 3, false, now()), (5, NULL, false, '2015-01-01'),"
        " (6, 5, NULL, now())"
    )
    pinned = to_json(parse_condition("pinned = true", read_table("app.posts")))
    policy = record_policy("posts", ["posts"], keep_condition=pinned)
    run = ran(purge_run(policy=policy, requester=person))
    assert (run.done, run.plan["kept_by_dependents"]) == (2, 2)
    assert execute("SELECT id FROM app.posts ORDER BY 1") == [(1,), (2,), (5,), (6,)]


CYCLES = {
    "two": [("orders", "last_line", "lines"), ("lines", "ordered", "orders")],
    "three": [
        ("orders", "last_line", "lines"),
        ("lines", "batch", "batches"),
        ("batches", "ordered", "orders"),
    ],
}


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("cycle", sorted(CYCLES))
def test_foreign_keys_in_a_circle(execute: Execute, person: User, cycle: str, named: bool) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz, last_line int)")
    execute("CREATE TABLE app.lines (id int PRIMARY KEY, ordered int, batch int)")
    execute("CREATE TABLE app.batches (id int PRIMARY KEY, ordered int)")
    execute(f"INSERT INTO app.orders SELECT n, {OLD}, n FROM generate_series(1, 12) n")
    execute("UPDATE app.orders SET created_at = now() WHERE id > 8")
    execute("INSERT INTO app.lines SELECT n, 1 + n % 12, 1 + n % 12 FROM generate_series(1, 12) n")
    execute("INSERT INTO app.batches SELECT n, 1 + (n + 9) % 12 FROM generate_series(1, 12) n")
    # Each order's last line is one of its own.
    own = "l.ordered" if cycle == "two" else "(SELECT ordered FROM app.batches WHERE id = l.batch)"
    execute(f"UPDATE app.orders o SET last_line = l.id FROM app.lines l WHERE {own} = o.id")
    for child, column, parent in CYCLES[cycle]:
        execute(f"ALTER TABLE app.{child} ADD FOREIGN KEY ({column}) REFERENCES app.{parent}")
    tables = [child for child, _, _ in CYCLES[cycle]]
    before = state(*tables)
    policy = record_policy("orders", tables if named else tables[1:])
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 8 * len(tables)
    assert execute("SELECT count(*), min(id) FROM app.orders") == [(4, 9)]
    assert_all_there(before)


def test_a_line_that_another_order_names_as_its_last_keeps_its_record(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, created_at timestamptz, last_line int)")
    execute("CREATE TABLE app.lines (id int PRIMARY KEY, ordered int REFERENCES app.orders)")
    execute(
        "INSERT INTO app.orders VALUES (1, '2015-01-01', 1), (2, '2015-01-01', 2), (3, now(), 2)"
    )
    execute("INSERT INTO app.lines VALUES (1, 1), (2, 2), (3, 3)")
    execute("ALTER TABLE app.orders ADD FOREIGN KEY (last_line) REFERENCES app.lines")
    before = state("orders", "lines")
    assert ran(purge_run(policy=record_policy("orders", ["lines"]), requester=person)).done == 2
    assert execute("SELECT id FROM app.orders ORDER BY 1") == [(2,), (3,)]
    assert_all_there(before)


@pytest.mark.usefixtures("sizes")
def test_composite_keys_partitions_and_odd_names(execute: Execute, person: User) -> None:
    execute(
        'CREATE TABLE app."Or ders%" (shop text, "Nu mber" int, created_at timestamptz,'
        ' PRIMARY KEY (shop, "Nu mber"))'
    )
    execute(
        "CREATE TABLE app.payments (shop text, paid date NOT NULL, number int, amount numeric,"
        " doubled numeric GENERATED ALWAYS AS (amount * 2) STORED,"
        ' FOREIGN KEY (number, shop) REFERENCES app."Or ders%" ("Nu mber", shop) ON DELETE CASCADE)'
        " PARTITION BY RANGE (paid)"
    )
    execute(
        "CREATE TABLE app.payments_1 PARTITION OF app.payments"
        " FOR VALUES FROM (MINVALUE) TO ('2015-06-01')"
    )
    execute(
        "CREATE TABLE app.payments_2 (amount numeric, number int, paid date NOT NULL, shop text,"
        " doubled numeric GENERATED ALWAYS AS (amount * 2) STORED)"
    )
    execute("ALTER TABLE app.payments ATTACH PARTITION app.payments_2 DEFAULT")
    execute(
        f'INSERT INTO app."Or ders%" SELECT chr(65 + n % 3), n, {OLD} FROM generate_series(1, 30) n'
    )
    execute('UPDATE app."Or ders%" SET created_at = now() WHERE "Nu mber" > 20')
    execute(
        "INSERT INTO app.payments (shop, paid, number, amount)"
        " SELECT chr(65 + n % 3), date '2015-05-20' + n, n, n FROM generate_series(1, 30) n"
    )
    execute(
        "INSERT INTO app.payments VALUES ('A', '2015-01-01', NULL, 7), (NULL, '2015-01-01', 1, 7)"
    )
    before = {"payments": live("app.payments"), '"Or ders%"': live('app."Or ders%"')}
    policy = make_policy("Or ders%", dependents=[["app", "payments"]])
    run = ran(purge_run(policy=policy, requester=person))
    assert run.done == 40
    assert execute("SELECT min(number), count(*) FROM app.payments") == [(1, 12)]
    gone = archives("payments", "Or ders%")
    assert live("app.payments") + gone["payments"] == before["payments"]
    assert live('app."Or ders%"') + gone["Or ders%"] == before['"Or ders%"']


def test_a_table_that_belongs_to_two_goes_with_the_first_that_goes(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, created_at timestamptz)")
    execute(
        "CREATE TABLE app.calls (id int PRIMARY KEY, caller int REFERENCES app.people,"
        " callee int REFERENCES app.people)"
    )
    execute("INSERT INTO app.people VALUES (1, '2015-01-01'), (2, now()), (3, '2015-01-01')")
    execute("INSERT INTO app.calls VALUES (1, 1, 2), (2, 2, 1), (3, 2, 2), (4, 1, 3), (5, 3, 3)")
    place("2031-19", "app.calls", where="id = 5")
    before = state("people", "calls")
    ran(purge_run(policy=record_policy("people", ["calls"]), requester=person))
    # The third is kept by its held call; the call with the first goes with the first.
    assert execute("SELECT id FROM app.people ORDER BY 1") == [(2,), (3,)]
    assert execute("SELECT id FROM app.calls ORDER BY 1") == [(3,), (5,)]
    assert_all_there(before)
