"""What the database answers is told as what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from operations.commands import CustodyCommand, Result

pytestmark = pytest.mark.django_db(transaction=True)


class _Locking(CustodyCommand):
    def work(self, **options: Any) -> Result:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '50ms'")
            cursor.execute("LOCK TABLE app.counted")
        return Result({})


def test_a_lock_that_was_not_had_is_not_a_database_that_is_gone(
    governed: str,
    execute: Callable[..., list[tuple[Any, ...]]],
    other_session: Callable[[], psycopg.Connection],
) -> None:
    execute("CREATE TABLE app.counted (number int)")
    session = other_session()
    session.execute("BEGIN")
    session.execute("LOCK TABLE app.counted")
    with pytest.raises(CommandError) as told:
        _Locking().handle(json=False)
    assert told.value.returncode == 1
    assert "try again" in str(told.value)
    assert "cannot be reached" not in str(told.value)


class _Interrupted(CustodyCommand):
    def work(self, **options: Any) -> Result:
        raise KeyboardInterrupt


def test_who_presses_ctrl_c_is_told_how_to_go_on(db: None) -> None:
    with pytest.raises(CommandError, match=r"Interrupted\. Run it again") as error:
        call_command(_Interrupted())
    assert error.value.returncode == 1
