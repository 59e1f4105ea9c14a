"""Whatever a superuser edits in a sealed log is found, and named as what it is."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from auditing.models import TrackedTable
from auditing.services.audit_seal import audit_seal
from auditing.services.baseline import baseline_run
from auditing.services.sync import table_sync
from auditing.services.track import table_track

from .tampering import EDITS, Execute, copied, findings, silently

pytestmark = [pytest.mark.superuser, pytest.mark.usefixtures("governed")]
TRIALS = int(os.environ.get("CUSTODY_TAMPER_TRIALS", "0"))


@pytest.fixture
def back(execute: Execute, person: User) -> Iterator[Callable[[], None]]:
    """A sealed log of a table, in several blocks; gives what puts everything back."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total int, note text)")
    execute("INSERT INTO app.orders SELECT n, n, 'a' FROM generate_series(1, 20) n")
    tracked = table_track("app.orders", actor=person, reason="the law")
    baseline_run(tracked, requester=person)
    for n in range(3):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT custody.set_context('u' || %s, 'because')", [n])
            cursor.execute(
                "INSERT INTO app.orders SELECT k, k, 'b' FROM generate_series(%s, %s) k",
                [100 * n + 100, 100 * n + 110],
            )
            cursor.execute("UPDATE app.orders SET total = total + 7 WHERE id %% 5 = %s", [n])
            cursor.execute("DELETE FROM app.orders WHERE id %% 7 = %s", [n])
        audit_seal()
    assert findings() == []
    with copied(execute) as put_back:
        yield put_back
    execute("SELECT custody.capture_make(%s)", [tracked.pk])


def put_back_whole(back: Callable[[], None], execute: Execute) -> None:
    back()
    tracked = TrackedTable.objects.get(history_name="app__orders")
    execute(f"SELECT custody.capture_make({tracked.pk})")


def test_each_kind_of_edit_is_found_and_named(execute: Execute, back: Callable[[], None]) -> None:
    chance = random.Random(5)
    for name, (edit, kinds) in EDITS.items():
        edit(execute, chance)
        found = findings()
        assert kinds <= {each.kind for each in found}, (name, found)
        for each in found:
            if each.kind in ("altered", "added") and each.source == "history.app__orders":
                assert "app.orders" in each.text, name
                assert each.number is not None, name
        put_back_whole(back, execute)
    assert findings() == []


@pytest.mark.skipif(not TRIALS, reason="CUSTODY_TAMPER_TRIALS says how many edits to try")
def test_random_edits_are_all_found_and_nothing_else_is(
    execute: Execute, back: Callable[[], None]
) -> None:
    chance = random.Random(os.environ.get("CUSTODY_TAMPER_SEED", "1"))
    missed, alarms = [], []
    for trial in range(TRIALS):
        name = chance.choice(sorted(EDITS))
        EDITS[name][0](execute, chance)
        if not findings():
            missed.append((trial, name))
        put_back_whole(back, execute)
        if found := findings():
            alarms.append((trial, name, found))
    assert (missed, alarms) == ([], [])


@pytest.mark.sql
def test_an_altered_version_is_named_by_its_record(
    execute: Execute, back: Callable[[], None]
) -> None:
    [[seq]] = execute(
        'UPDATE history.app__orders SET "2_total" = 9 WHERE "1_id" = 103 AND op = \'I\''
        " RETURNING seq"
    )
    [found] = [each for each in findings() if each.kind == "altered"]
    assert (found.kind, found.record_id, found.number) == ("altered", "103", seq)
    assert found.text.startswith(f"Version {seq} of app.orders 103 is not what was sealed in block")


@pytest.mark.sql
def test_a_live_row_is_named_with_the_columns(execute: Execute, back: Callable[[], None]) -> None:
    silently(execute, "UPDATE app.orders SET note = 'silently', total = 0 WHERE id = 103")
    found = findings()
    assert [each.record_id for each in found] == ["103"]
    assert found[0].text.startswith(
        "app.orders 103 is not what its last version says (total, note):"
    )


def test_a_value_in_a_column_that_came_later_is_found(
    execute: Execute, back: Callable[[], None]
) -> None:
    tracked = TrackedTable.objects.get(history_name="app__orders")
    execute("ALTER TABLE app.orders ADD COLUMN later text")
    table_sync(tracked, actor=User.objects.get(username="ada"), reason="more")
    execute("INSERT INTO app.orders VALUES (900, 1, 'c', 'd')")
    baseline_run(tracked, requester=User.objects.get(username="ada"))
    audit_seal()
    assert findings() == []
    execute("UPDATE history.app__orders SET \"4_later\" = 'x' WHERE \"1_id\" = 103 AND op = 'I'")
    [found] = [each for each in findings() if each.kind == "altered"]
    assert "has a value in 4_later, where there was none when it was sealed" in found.text
