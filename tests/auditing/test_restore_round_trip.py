"""Whatever a row held, its version put back is exactly the row of then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from psycopg import sql

from auditing.models import ChangeStatement, TrackedTable
from auditing.selectors.versions import versions_of
from auditing.services.change_revert import change_revert
from auditing.services.record_restore import record_restore
from auditing.services.revert_plan import Chosen
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import table_track
from tests.effort import examples
from tests.retention.round_trip_types import KINDS, MAKE_TYPES, OWN, Kind, Value, integers, texts

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Execute = Callable[..., list[tuple[Any, ...]]]

NAMES = ["plain", "Capital", 'quo"te', "percent %s", "select", "ünïcode", "tab\tbed", "seq"]
KEYS = [
    Kind("int4", integers(32)),
    Kind("int8", integers(64)),
    Kind("text", texts("", "a,b", '["a"]', "it's", "100%", "é漢🙂", "\\", '"')),
    Kind("uuid", st.uuids().map(str).map(sql.Literal)),
    Kind("numeric", texts("1.50", "-3", "1e20")),
    Kind("date", texts("2024-02-29", "0044-03-15 BC")),
    Kind("timestamptz", texts("2024-02-29 12:34:56.789012+02", "1970-01-01")),
    Kind("bytea", texts("\\x00ff", "\\x")),
    next(kind for kind in OWN if kind.type == '"type lib"."Mood %"'),
]


@pytest.fixture
def types(transactional_db: None, execute: Execute) -> Iterator[None]:
    drop = 'DROP SCHEMA IF EXISTS "Round Trip", "type lib" CASCADE'
    execute(drop)
    execute(MAKE_TYPES)
    yield
    execute(drop)


def value(kind: Kind, draw: Callable[..., Any], *, nulls: bool = True) -> Value:
    found = draw(st.none() | kind.values if nulls else kind.values)
    if found is None:
        return sql.SQL("NULL")
    return sql.SQL("{}::{}").format(found, sql.SQL(kind.type))


def row_text(execute: Execute) -> list[Any]:
    return [text for (text,) in execute('SELECT t::text FROM "Round Trip"."Ta % ble" t')]


@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_version_put_back_is_the_row_of_then(
    types: None, execute: Execute, person: User, data: st.DataObject
) -> None:
    keys = data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2), label="keys")
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6), label="kinds")
    names = data.draw(
        st.lists(
            st.sampled_from(NAMES),
            min_size=len(keys) + len(kinds),
            max_size=len(keys) + len(kinds),
            unique=True,
        ),
        label="names",
    )
    tracked = make(execute, person, keys, kinds, names)
    key = [value(kind, data.draw, nulls=False) for kind in keys]
    first = [value(kind, data.draw) for kind in kinds]
    second = [value(kind, data.draw) for kind in kinds]

    listed = sql.SQL(", ").join
    table = sql.Identifier("Round Trip", "Ta % ble")
    execute(sql.SQL("INSERT INTO {} VALUES ({})").format(table, listed([*key, *first])))
    [as_first] = row_text(execute)
    columns = listed(sql.Identifier(name) for name in names[len(keys) :])
    execute(sql.SQL("UPDATE {} SET ({}) = ROW({})").format(table, columns, listed(second)))
    [as_second] = row_text(execute)
    [[record_id]] = execute(sql.SQL("SELECT record_id FROM {} LIMIT 1").format(log(tracked)))
    changed = as_first != as_second
    event("changed" if changed else "the same")
    execute(sql.SQL("DELETE FROM {}").format(table))

    page = versions_of(tracked, record_id)
    assert [each.operation for each in reversed(page.versions)] == (
        ["I", "U", "D"] if changed else ["I", "D"]
    )
    record_restore(tracked=tracked, record_id=record_id, number=1, actor=person)
    assert row_text(execute) == [as_first]
    record_restore(tracked=tracked, record_id=record_id, number=page.total, actor=person)
    assert row_text(execute) == [as_second]
    record_restore(tracked=tracked, record_id=record_id, number=1, actor=person)
    assert row_text(execute) == [as_first]
    execute(sql.SQL("UPDATE {} SET ({}) = ROW({})").format(table, columns, listed(second)))
    execute(sql.SQL("DELETE FROM {}").format(table))
    statement_summarise()
    deleted = ChangeStatement.objects.filter(operation="D").latest("id")
    change_revert(chosen=Chosen(statement=deleted.pk), requester=person)
    assert row_text(execute) == [as_second]
    if changed:
        updated = ChangeStatement.objects.filter(operation="U", id__lt=deleted.pk).latest("id")
        change_revert(chosen=Chosen(statement=updated.pk), requester=person)
    assert row_text(execute) == [as_first]
    as_of = 'SELECT t::text FROM custody.as_of(NULL::"Round Trip"."Ta % ble", clock_timestamp()) t'
    assert [text for (text,) in execute(as_of)] == [as_first]


def make(
    execute: Execute, person: User, keys: list[Kind], kinds: list[Kind], names: list[str]
) -> TrackedTable:
    execute('DROP SCHEMA IF EXISTS "Round Trip" CASCADE')
    execute('CREATE SCHEMA "Round Trip"')
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind.type))
        for name, kind in zip(names, [*keys, *kinds], strict=True)
    ]
    execute(
        sql.SQL('CREATE TABLE "Round Trip"."Ta % ble" ({}, PRIMARY KEY ({}))').format(
            sql.SQL(", ").join(columns),
            sql.SQL(", ").join(map(sql.Identifier, names[: len(keys)])),
        )
    )
    return table_track('"Round Trip"."Ta % ble"', actor=person, reason="")


def log(tracked: TrackedTable) -> sql.Identifier:
    return sql.Identifier("history", f"{tracked.history_name}_log")
