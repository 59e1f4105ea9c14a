"""`custody.audit_log`, the views per table and `custody.as_of()`: the history through SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError

from auditing.models import ChangeTransaction, TrackedTable
from auditing.services.audit_views import audit_views_make
from auditing.services.sync import table_sync
from auditing.services.track import TrackTerms, table_track

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def prices(governed: str, execute: Execute, person: User) -> TrackedTable:
    execute("CREATE TYPE app.state AS ENUM ('new', 'old')")
    execute("CREATE DOMAIN app.positive AS int CHECK (VALUE > 0)")
    execute(
        'CREATE TABLE app."Price s" (id int PRIMARY KEY, "%a" numeric(8,2), state app.state,'
        " amount app.positive, doc json, secret text, noise text)"
    )
    return table_track(
        'app."Price s"',
        actor=person,
        reason="",
        terms=TrackTerms(mask=["secret"], exclude=["noise"]),
    )


def moment(execute: Execute) -> Any:
    return execute("SELECT clock_timestamp()")[0][0]


def test_the_classic_columns(prices: TrackedTable, execute: Execute) -> None:
    execute("""INSERT INTO app."Price s" VALUES (1, 1.5, 'new', 7, '{"a": "\\u0000"}', 's', 'n')""")
    execute("""UPDATE app."Price s" SET "%a" = 2.50, secret = 't', noise = 'm'""")
    execute('UPDATE app."Price s" SET id = 2')
    execute('DELETE FROM app."Price s"')

    rows = execute(
        "SELECT table_name, record_id, action, old_data, new_data, changed_fields, user_id,"
        " actor LIKE 'db:%%', operation FROM custody.audit_log"
        " WHERE table_name = 'app.\"Price s\"' ORDER BY id",
        [],
    )

    import json

    found = [
        (*row[:3], *(x if x is None else json.loads(x) for x in row[3:5]), *row[5:]) for row in rows
    ]
    first = {"id": 1, "%a": 1.5, "state": "new", "amount": 7, "doc": '{"a": "\\u0000"}'}
    second = {**first, "%a": 2.5}
    third = {**second, "id": 2}
    name = 'app."Price s"'
    assert found == [
        (name, "1", "INSERT", None, first, None, None, True, "INSERT"),
        (name, "1", "UPDATE", first, second, ["%a", "secret"], None, True, "UPDATE"),
        (name, "2", "UPDATE", second, third, ["id"], None, True, "UPDATE"),
        (name, "2", "DELETE", third, None, None, None, True, "DELETE"),
    ]


def test_as_of_follows_columns(prices: TrackedTable, execute: Execute, person: User) -> None:
    execute("""INSERT INTO app."Price s" VALUES (1, 1.5, 'new', 7), (2, 3, 'old', 8)""")
    first = moment(execute)
    execute('ALTER TABLE app."Price s" RENAME "%a" TO price')
    execute('ALTER TABLE app."Price s" ALTER amount TYPE bigint')
    execute('ALTER TABLE app."Price s" ADD vat int DEFAULT 19')
    table_sync(prices, actor=person)
    execute('UPDATE app."Price s" SET price = 9, amount = 3000000000 WHERE id = 1')
    execute('DELETE FROM app."Price s" WHERE id = 2')
    second = moment(execute)
    execute('ALTER TABLE app."Price s" DROP doc, DROP vat')
    execute('ALTER TABLE app."Price s" ADD vat text')
    table_sync(prices, actor=person)
    execute("""UPDATE app."Price s" SET vat = 'none', state = 'old'""")

    def rows(at: Any) -> list[tuple[Any, ...]]:
        return execute(
            "SELECT id, price, state::text, amount, secret, vat FROM custody.as_of("
            'NULL::app."Price s", %s) ORDER BY id',
            [at],
        )

    assert [tuple(map(str, r)) for r in rows(first)] == [
        ("1", "1.50", "new", "7", "None", "None"),
        ("2", "3.00", "old", "8", "None", "None"),
    ]
    assert [tuple(map(str, r)) for r in rows(second)] == [
        ("1", "9.00", "new", "3000000000", "None", "None")
    ]
    assert [tuple(map(str, r)) for r in rows(moment(execute))] == [
        ("1", "9.00", "old", "3000000000", "None", "none")
    ]
    as_json = "SELECT custody.as_of('app.\"Price s\"', %s) ORDER BY 1"
    import json

    assert [json.loads(row) for (row,) in execute(as_json, [second])] == [
        {"id": 1, "price": 9.0, "state": "new", "amount": 3000000000, "vat": 19}
    ]
    one = "SELECT id FROM custody.as_of(NULL::app.\"Price s\", %s, '2')"
    assert execute(one, [first]) == [(2,)]
    assert execute(one, [second]) == []
    by_oid = "SELECT custody.as_of('app.\"Price s\"'::regclass, %s, '1') ->> 'price'"
    assert execute(by_oid, [first]) == [("1.50",)]


def test_as_of_a_moment_in_a_transaction(prices: TrackedTable, execute: Execute) -> None:
    """A change counts when its transaction had committed."""
    execute("""INSERT INTO app."Price s" VALUES (1, 1, 'new', 7)""")
    execute("""UPDATE app."Price s" SET "%a" = 2""")
    xid, at = execute('SELECT xid, at FROM history."app__Price s" ORDER BY seq DESC LIMIT 1')[0]
    between = moment(execute)
    for seconds in (1, 3600):
        ChangeTransaction.objects.all().delete()
        execute(
            "INSERT INTO custody.auditing_changetransaction"
            " VALUES (%s, %s, %s::timestamptz + make_interval(secs => %s), 1, 1, 'db:x', NULL)",
            [xid, at, between, seconds],
        )
        query = 'SELECT "%%a" FROM custody.as_of(NULL::app."Price s", %s)'
        assert [str(r[0]) for r in execute(query, [between])] == ["1.00"]
        later = "%s::timestamptz + make_interval(secs => %s)"
        query = f'SELECT "%%a" FROM custody.as_of(NULL::app."Price s", {later})'
        assert [str(r[0]) for r in execute(query, [between, seconds])] == ["2.00"]


def test_what_was_not_audited_is_told(prices: TrackedTable, execute: Execute) -> None:
    execute("CREATE TABLE app.other (id int PRIMARY KEY)")
    with pytest.raises(DatabaseError, match=r"app\.other is not audited"):
        execute("SELECT * FROM custody.as_of(NULL::app.other, now())")
    with pytest.raises(DatabaseError, match="its audit began at"):
        execute("SELECT * FROM custody.as_of(NULL::app.\"Price s\", '2020-01-01')")


def test_views_stand_in_no_ones_way(prices: TrackedTable, execute: Execute) -> None:
    execute('DROP TABLE app."Price s"')
    execute("DROP TYPE app.state")
    audit_views_make(tracked=prices)
    assert execute("SELECT count(*) FROM custody.audit_log") is not None
