"""Whatever a table holds: purged with an archive, verified and restored, it is what it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from psycopg import sql

from operations.catalogue.identifiers import Identifier
from operations.runs.states import RunState
from operations.services.actors import system_user
from retention.models import Archive, RetentionPolicy
from retention.selectors.restore_choice import RestoreChoice
from retention.services.archive_verify import archive_verify
from retention.services.purge_start import purge_run
from retention.services.restore_start import ALL, archive_restore
from tests.effort import examples
from tests.retention.round_trip import RandomTable, tables
from tests.retention.round_trip_types import KINDS, MAKE_TYPES, Kind

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]

Execute = Callable[..., list[tuple[Any, ...]]]
_numbers = count(1)
_GROUPS = 8
GROUPS = [KINDS[number::_GROUPS] for number in range(_GROUPS)]
"""Each type is in one of them, so that each is tried."""
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


@pytest.fixture
def type_library(transactional_db: None, execute: Execute) -> Iterator[None]:
    execute('DROP SCHEMA IF EXISTS "type lib" CASCADE')
    execute(MAKE_TYPES)
    yield
    execute('DROP SCHEMA "type lib" CASCADE')


def rows_of(table: RandomTable, execute: Execute) -> Counter[str]:
    """Every row, whole, as text: types without equality are compared so too."""
    return Counter(
        row for (row,) in execute(sql.SQL("SELECT (t.*)::text FROM {} t").format(table.sql))
    )


def expired_of(table: RandomTable, execute: Execute) -> int:
    query = sql.SQL("SELECT count(*) FROM {} t WHERE {} < '2010-01-01'")
    found: int = execute(query.format(table.sql, Identifier("t", table.age)))[0][0]
    return found


def policy_of(table: RandomTable) -> RetentionPolicy:
    return RetentionPolicy.objects.create(
        name=f"policy {next(_numbers)}",
        schema_name=table.schema,
        table_name=table.name,
        age_column=table.age,
        keep_hours=24 * 365,
        archive_first=True,
    )


@pytest.mark.parametrize("kinds", GROUPS, ids=lambda kinds: kinds[0].type)
@given(data=st.data())
@settings(
    max_examples=examples(5),
    deadline=None,
    phases=PHASES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_row_of_every_table_comes_back_exactly(
    type_library: None, execute: Execute, kinds: list[Kind], data: st.DataObject
) -> None:
    virtual = connection.get_database_version() >= (18,)
    table = data.draw(tables(kinds, virtual=virtual))
    statements = [sql.SQL("CREATE SCHEMA {}").format(Identifier(table.schema)), *table.make()]
    note("\n".join(statement.as_string(connection.connection) for statement in statements))
    for statement in statements:
        execute(statement)
    try:
        before, due = rows_of(table, execute), expired_of(table, execute)
        person = system_user("round-trip")
        purged = purge_run(policy=policy_of(table), requester=person)
        assert purged.run is not None, purged.refusal
        assert (purged.run.current, purged.run.done) == (RunState.SUCCEEDED, due), purged.run.error
        assert rows_of(table, execute).total() == before.total() - due
        if due:
            archive = Archive.objects.get(run=purged.run)
            assert archive_verify(archive=archive).problems == ()
            rescued = _rescued(archive, person, table, execute)
            one = RestoreChoice(rows=((1, data.draw(st.integers(1, due))),))
            _restored(archive, person, one, restored=1, already_there=0)
            _restored(archive, person, restored=due - 1, already_there=1)
        assert rows_of(table, execute) == before
        if due:
            _restored(archive, person, restored=0, already_there=due)
            assert rows_of(table, execute) == before
            assert texts_of(table, table.sql, execute) == rescued
    finally:
        execute(sql.SQL("DROP SCHEMA {} CASCADE").format(Identifier(table.schema)))


def texts_of(
    table: RandomTable, name: sql.Composable, execute: Execute
) -> Counter[tuple[Any, ...]]:
    """The archived columns of its expired rows, each as text."""
    columns = sql.SQL(", ").join(
        sql.SQL("{}::text").format(Identifier("t", column.name)) for column in table.archived
    )
    query = sql.SQL("SELECT {} FROM {} t WHERE {} < '2010-01-01'")
    return Counter(execute(query.format(columns, name, Identifier("t", table.age))))


def _rescued(
    archive: Archive, person: User, table: RandomTable, execute: Execute
) -> Counter[tuple[Any, ...]]:
    """What is found in another schema after the archive was restored into that."""
    choice = RestoreChoice(into_schema="rescue")
    try:
        _restored(archive, person, choice, restored=archive.rows, already_there=0)
        return texts_of(table, Identifier("rescue", table.name), execute)
    finally:
        execute("DROP SCHEMA IF EXISTS rescue CASCADE")


def _restored(archive: Archive, person: User, choice: RestoreChoice = ALL, **counts: int) -> None:
    run = archive_restore(archive=archive, choice=choice, requester=person)
    assert run.current is RunState.SUCCEEDED, run.error
    assert run.result == {
        **counts,
        "changed_by_trigger": 0,
        "conflict_count": 0,
        "conflicts": [],
    }
