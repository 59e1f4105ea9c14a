"""The versions of a record, as somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from psycopg import sql

from auditing.exceptions import NoSuchVersion
from auditing.models import ChangeStatement, Operation, TrackedTable
from auditing.selectors.change_rows import RowPage, changes_query, rows_between, statement_rows
from auditing.selectors.images import shape_of
from auditing.selectors.versions import (
    ColumnDifference,
    masked_between,
    version_by_seq,
    version_difference,
    version_get,
    versions_of,
)
from auditing.services.statement_summarise import statement_summarise
from auditing.services.sync import table_sync
from auditing.services.track import TrackTerms, table_track

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def orders(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute(
        'CREATE TABLE app."Or d" (id int, "K" text, price numeric(8,2), tags text[], secret text,'
        ' PRIMARY KEY (id, "K"))'
    )
    return table_track('app."Or d"', actor=person, reason="", terms=TrackTerms(mask=["secret"]))


def test_versions_follow_columns_and_keys(
    orders: TrackedTable, execute: Execute, person: User
) -> None:
    execute("""INSERT INTO app."Or d" VALUES (1, 'a', 3.5, '{x,"y z"}', 's')""")
    execute("""UPDATE app."Or d" SET price = 4, secret = 't'""")
    execute('ALTER TABLE app."Or d" RENAME price TO cost')
    execute('ALTER TABLE app."Or d" ADD colour text')
    execute("""UPDATE app."Or d" SET colour = 'red'""")
    table_sync(orders, actor=person)
    execute("""UPDATE app."Or d" SET id = 2, cost = 5""")
    execute("""DELETE FROM app."Or d" """)

    old = versions_of(orders, "1,a")
    new = versions_of(orders, '["2", "a"]')

    assert old.total == 4
    assert [
        (each.number, each.operation, each.values[3], each.now, each.exists)
        for each in old.versions
    ] == [
        (4, Operation.REKEY, "4.00", '["2","a"]', False),
        (3, Operation.UPDATE, "4.00", None, True),
        (2, Operation.UPDATE, "4.00", None, True),
        (1, Operation.INSERT, "3.50", None, True),
    ]
    assert [(v.number, v.operation, v.was, v.changed) for v in new.versions] == [
        (2, Operation.DELETE, None, ()),
        (1, Operation.UPDATE, '["1","a"]', (1, 3)),
    ]
    # There was no such column when it was made.
    assert 6 not in old.versions[3].values
    assert old.versions[1].values[6] == "red"
    assert new.versions[0].values == {1: "2", 2: "a", 3: "5.00", 4: '{x,"y z"}', 6: "red"}
    first, second = version_get(orders, "1,a", 1), version_get(orders, "1,a", 2)
    hidden = masked_between(old.shape, first, second)
    assert version_difference(old.shape, first, second, masked=hidden) == [
        ColumnDifference(3, "cost", "3.50", "4.00"),
        ColumnDifference(5, "secret", None, None, masked=True),
    ]
    assert version_by_seq(orders, "1,a", second.seq) == second
    assert second.actor.startswith("db:")


def test_pages_of_versions(orders: TrackedTable, execute: Execute) -> None:
    execute("""INSERT INTO app."Or d" VALUES (1, 'a', 0), (2, 'a', 0)""")
    for price in range(1, 6):
        execute('UPDATE app."Or d" SET price = %s', [price])

    numbers, before = [], None
    while True:
        page = versions_of(orders, "1,a", before=before, limit=2)
        numbers.append([(each.number, each.values[3]) for each in page.versions])
        assert page.total == 6
        before = page.next_before
        if before is None:
            break

    assert numbers == [
        [(6, "5.00"), (5, "4.00")],
        [(4, "3.00"), (3, "2.00")],
        [(2, "1.00"), (1, "0.00")],
    ]
    assert versions_of(orders, "3,a").versions == ()


def test_what_is_no_key_is_told(orders: TrackedTable, execute: Execute) -> None:
    execute("""INSERT INTO app."Or d" VALUES (1, 'a', 0)""")
    with pytest.raises(NoSuchVersion, match=r"'x,a' is no key of app\.\"Or d\""):
        versions_of(orders, "x,a")
    with pytest.raises(NoSuchVersion, match="it has 2 columns"):
        versions_of(orders, "1")
    with pytest.raises(NoSuchVersion, match="has versions 1 to 1, and none numbered 7"):
        version_get(orders, "1,a", 7)


def test_virtual_columns_are_computed_again(governed: str, execute: Execute, person: User) -> None:
    if int(execute("SHOW server_version_num")[0][0]) < 180000:
        pytest.skip("PostgreSQL has virtual columns from 18 on")
    execute("CREATE TABLE app.t (id int PRIMARY KEY, a int, b int)")
    execute("ALTER TABLE app.t ADD share int GENERATED ALWAYS AS (100 * a / b)")
    table = table_track("app.t", actor=person, reason="")
    execute("INSERT INTO app.t VALUES (1, 1, 2)")
    execute("UPDATE app.t SET a = 2")
    execute("UPDATE app.t SET b = 0")

    values = [each.values for each in versions_of(table, "1").versions]

    # The last cannot be computed, so there is none: NULL would be a value.
    assert values == [
        {1: "1", 2: "2", 3: "0"},
        {1: "1", 2: "2", 3: "2", 4: "100"},
        {1: "1", 2: "1", 3: "2", 4: "50"},
    ]


def test_a_statements_rows_before_and_after(orders: TrackedTable, execute: Execute) -> None:
    execute("""INSERT INTO app."Or d" SELECT n, 'a', n FROM generate_series(1, 5) n""")
    execute('UPDATE app."Or d" SET price = price + 1, id = id + 10 * (id / 3) WHERE id <= 3')
    execute('DELETE FROM app."Or d" WHERE id = 4')
    statement_summarise()
    inserted, updated, deleted = ChangeStatement.objects.order_by("id")

    first = statement_rows(updated, limit=2)
    second = statement_rows(updated, limit=2, after=first.next_after or 0)

    def shown(image: dict[int, str | None] | None) -> list[str | None] | None:
        return None if image is None else [image[1], image[3]]

    def rows(*pages: RowPage) -> list[Any]:
        return [
            (r.operation, r.record_id, r.was, shown(r.before), shown(r.after), r.changed)
            for page in pages
            for r in page.rows
        ]

    assert sorted(rows(first, second)) == [
        ("U", '["1","a"]', None, ["1", "1.00"], ["1", "2.00"], (3,)),
        ("U", '["13","a"]', '["3","a"]', ["3", "3.00"], ["13", "4.00"], (1, 3)),
        ("U", '["2","a"]', None, ["2", "2.00"], ["2", "3.00"], (3,)),
    ]
    assert (len(first.rows), second.next_after) == (2, None)
    assert rows(statement_rows(deleted)) == [("D", '["4","a"]', None, ["4", "4.00"], None, ())]
    assert len(statement_rows(inserted).rows) == 5
    assert rows(statement_rows(inserted))[0] == (("I", '["1","a"]', None, None, ["1", "1.00"], ()))


def test_a_key_of_another_type(governed: str, execute: Execute, person: User) -> None:
    """What was captured before, between and after the change of type is one record's."""
    execute("CREATE TABLE app.t (id int PRIMARY KEY, a text)")
    table = table_track("app.t", actor=person, reason="")
    execute("INSERT INTO app.t VALUES (1, 'int'), (2, 'int')")
    execute("ALTER TABLE app.t ALTER id TYPE bigint")
    execute("UPDATE app.t SET a = 'between' WHERE id = 1")
    execute("INSERT INTO app.t VALUES (5000000000, 'large')")
    table_sync(table, actor=person)
    execute("UPDATE app.t SET a = 'after'")
    statement_summarise()

    def told(key: str) -> list[Any]:
        return [
            (v.number, v.operation, v.record_id, v.values[2])
            for v in versions_of(table, key).versions
        ]

    assert [row[1:] for row in told("1")][:1] == [("U", "1", "after")]
    assert told("1")[-1][1:] == ("I", "1", "int")
    assert "between" in {row[3] for row in told("1")}
    assert list(dict.fromkeys(row[3] for row in told("5000000000"))) == ["after", "large"]
    last = ChangeStatement.objects.latest("id")
    assert sorted(
        (r.record_id, r.before and r.before[2], r.after and r.after[2])
        for r in statement_rows(last).rows
    ) == [
        ("1", "between", "after"),
        ("2", "int", "after"),
        ("5000000000", "large", "after"),
    ]


def test_a_page_of_a_long_statement_is_as_quick(orders: TrackedTable, execute: Execute) -> None:
    """The first and any other page of a statement of many rows reads little of the history."""
    execute("""INSERT INTO app."Or d" SELECT n, 'a', n FROM generate_series(1, 50000) n""")
    execute('UPDATE app."Or d" SET price = price + 1')
    statement_summarise()
    updated = ChangeStatement.objects.get(operation="U")
    shape = shape_of(orders)
    middle = ((updated.first_seq or 0) + (updated.last_seq or 0)) // 2
    with transaction.atomic(), connection.cursor() as cursor:
        where = rows_between(updated, middle, middle + 4000)
        cursor.execute("SET LOCAL enable_seqscan = off")
        query = changes_query(shape, where, 50)
        cursor.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(query))
        plan = cursor.fetchone()[0][0]["Plan"]
    read = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    [[pages]] = execute(
        "SELECT sum(pg_relation_size(relid)) / 8192 FROM pg_partition_tree('history.\"app__Or d\"')"
    )
    assert read < pages, (read, pages)
