"""Whatever an application does in whatever order: its history is what its tables were.

A Hypothesis state machine over random tables, statements, transactions and changes of columns, with
three sessions beside each other. Beside it stands the model in `audit_model`.

What cannot be compared: a value that came into a row by a change of columns (a default, a new
type) is in the history from the baseline after it on; until then, and for good when columns change
again before that baseline is through, it need not be. Values of columns whose type is not the one
that they had are compared as texts only, not as the JSON of custody.as_of().

The tests try the same examples every time. CUSTODY_TEST_EXAMPLES=500 looks for others, for longer
than they have time for.

Not tried, as it cannot be seen by any trigger: a TRUNCATE by a REPEATABLE READ transaction of rows
that it does not see.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from auditing.services import brief_lock, sync, track
from tests import environment
from tests.effort import examples

from . import audit_replay
from .audit_machine import Audit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

EXAMPLES = int(os.environ.get("CUSTODY_TEST_EXAMPLES", examples(7)))


def run_machine(
    execute: Callable[..., Any],
    person: User,
    monkeypatch: pytest.MonkeyPatch,
    *,
    event_trigger: bool,
) -> None:
    # What is in use stays in use: there is one thread.
    monkeypatch.setattr(brief_lock, "ATTEMPTS", 1)
    monkeypatch.setattr(brief_lock, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(brief_lock, "_PAUSE", 0)
    if not event_trigger:
        execute("DROP EVENT TRIGGER IF EXISTS custody_audit_ddl")
        for module in (sync, track):
            monkeypatch.setattr(module, "event_trigger_ensure", lambda **_: False)

    def clear() -> None:
        connection.close()
        execute(audit_replay.CLEAR)

    Audit.person, Audit.execute, Audit.clear = person, staticmethod(execute), staticmethod(clear)
    Audit.event_trigger = event_trigger
    Audit.compared.clear()
    run_state_machine_as_test(
        Audit,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=14,
            deadline=None,
            derandomize="CUSTODY_TEST_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
            # Every step is real work: a failing example is shown as it was found.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
    assert Audit.compared["versions"] > 30 * EXAMPLES, "hardly anything was ever written"


@pytest.mark.skipif(environment.is_plain(), reason="event triggers take a superuser")
def test_history_replayed_to_any_moment_is_what_the_table_was(
    governed: str, execute: Callable[..., Any], person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_machine(execute, person, monkeypatch, event_trigger=True)


def test_where_no_event_trigger_may_the_history_is_what_the_table_was(
    governed: str, execute: Callable[..., Any], person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_machine(execute, person, monkeypatch, event_trigger=False)
