"""A detached partition goes back into its table: what the run did to it is undone."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

import psycopg
from django.db import DatabaseError, OperationalError, connections, transaction

from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.kinds import Outcome
from operations.services.alerts import alert_raise
from operations.services.runs import run_log
from operations.session import set_local
from operations.storage import StorageLocked, storage
from retention.selectors.partition_standing import Standing, detached_leaves, standing
from retention.selectors.partition_units import Unit
from retention.services import partition_ddl as ddl
from retention.services.partition_history import PartitionHistory
from retention.services.partition_state import KEY, Left, PartitionState, unit_under_way
from retention.services.purge_task import PurgeTask

logger = logging.getLogger(__name__)
LOCK_SECONDS = 5
"""For which the end of a cancelled run waits for each lock."""


class AttachRefused(CustodyError):
    """PostgreSQL does not take the partition back. The text says why, and how to do it by hand."""

    exit_code = 3


def attach_again(unit: Unit, here: Standing, *, checks: Iterable[str], using: str) -> None:
    """In the transaction under way.

    Raises:
        AttachRefused: something stands in its place. Nothing was changed.
        OperationalError: a lock was not to be had in time.
    """
    leaves = [leaf.name for leaf in detached_leaves(unit, using=using)]
    try:
        with transaction.atomic(using=using):
            ddl.attach(unit, here, leaves, checks=checks, using=using)
    except OperationalError:
        raise
    except DatabaseError as error:
        raise AttachRefused(_by_hand(unit, here, checks, error, using=using)) from error


def said(error: BaseException) -> str:
    """PostgreSQL's own words, on one line: what is wrong, and its detail."""
    cause = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else None
    if cause is None or not cause.diag.message_primary:
        return " ".join(str(error).split())
    detail = f" ({cause.diag.message_detail})" if cause.diag.message_detail else ""
    return " ".join(f"{cause.diag.message_primary}{detail}".split())


def discard(files: Iterable[str]) -> None:
    """Removes parts of rows that are live again. A missing one is fine."""
    for file in files:
        for path in (f"{file}.json", file):
            try:
                storage().delete(path)
            except StorageLocked as error:
                # It goes when the archive goes.
                logger.warning("A part whose rows are live again stays: %s", error)


def partition_release(*, run: Run, outcome: Outcome) -> None:
    """At the end of a run, in its last transaction: nothing of it stays detached.

    Repeatable. What cannot be attached stays a table of its own, as the application's people know
    it by name, and an alert says how to put it back.
    """
    unit = unit_under_way(run)
    if outcome != "cancelled" or unit is None:
        return
    state = PartitionState.of(run.cursor)
    if state.stage == "forgetting":
        _drop_what_is_left(run, unit, state)
        return
    try:
        with transaction.atomic(using=run.database):
            _put_back(unit, state, run.database)
        why = "the run was cancelled"
        run_log(run, f"{unit.table} is a partition of {unit.parent} as before.")
    except (DatabaseError, AttachRefused) as error:
        why = _told(unit, state, error, run)
    # Before the commit: were the run not ended after all, the next worker misses them, and copies
    # the rows again. The other way round nobody would look for them any more.
    discard(part["file"] for part in state.parts)
    state.left.append(Left(str(unit.table), why))
    state.next_unit()
    run.cursor = {**run.cursor, KEY: state.to_json()}


def _drop_what_is_left(run: Run, unit: Unit, state: PartitionState) -> None:
    """Its rows are gone and in the archive: their versions must not outlive the run."""
    here = standing(unit, using=run.database)
    if here.place == "detached":
        leaves = [leaf.name for leaf in detached_leaves(unit, using=run.database)]
        PartitionHistory(PurgeTask(run)).forget(state, leaves, began=time.monotonic(), whole=True)
        ddl.drop(here, using=run.database)
    state.next_unit()
    run.cursor = {**run.cursor, KEY: state.to_json()}


def _put_back(unit: Unit, state: PartitionState, using: str) -> None:
    set_local({"lock_timeout": f"{LOCK_SECONDS}s"}, using=using)
    here = standing(unit, using=using)
    if here.place == "leaving":
        ddl.finalize(here, using=using)
        here = standing(unit, using=using)
    if here.place == "detached":
        attach_again(unit, here, checks=state.checks, using=using)


def _told(unit: Unit, state: PartitionState, error: Exception, run: Run) -> str:
    here = standing(unit, using=run.database)
    remedy = (
        str(error)
        if isinstance(error, AttachRefused)
        else _by_hand(unit, here, state.checks, error, using=run.database)
    )
    alert_raise(
        key=f"partition-detached:{unit.oid}",
        summary=f"{here.table} is not a partition of {here.parent} any more, and holds its rows.",
        remedy=remedy,
        run=run,
    )
    run_log(run, f"{here.table} could not be attached again. {remedy}", level="error")
    return "it could not be attached again"


def _by_hand(
    unit: Unit, here: Standing, checks: Iterable[str], error: Exception, *, using: str
) -> str:
    leaves = [leaf.name for leaf in detached_leaves(unit, using=using)]
    connection = connections[using].connection
    added = sorted(set(here.checks) - set(checks))
    lines = ddl.attach_statements(unit, here, leaves, added)
    text = "; ".join(line.as_string(connection) for line in lines)
    if here.place == "leaving":
        text = f"{ddl.finalize_statement(here).as_string(connection)}; {text}"
    return f"PostgreSQL says: {said(error)}. Mend that, then run: {text};"
