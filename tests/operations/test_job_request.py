"""A job asked for by SQL, as pg_cron does it, is started by the next sweep, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.utils import DataError
from kombu.exceptions import OperationalError

from operations.models import JobRequest
from operations.services.scheduled_jobs import jobs_requested_start

pytestmark = [pytest.mark.sql, pytest.mark.django_db]

Execute = Callable[..., list[tuple[Any, ...]]]
NIGHTLY = "retention.purge_nightly"


def ask(execute: Execute, job: str = NIGHTLY) -> None:
    execute("SELECT custody.job_request(%s)", [job])


def test_the_next_sweep_starts_it_once(execute: Execute) -> None:
    ask(execute)
    ask(execute)
    started: list[str] = []
    assert jobs_requested_start(start=started.append) == [NIGHTLY]
    assert jobs_requested_start(start=started.append) == []
    assert started == [NIGHTLY]
    assert {request.started_at is not None for request in JobRequest.objects.all()} == {True}
    [role] = execute("SELECT session_user::text")[0]
    assert {request.requested_by for request in JobRequest.objects.all()} == {role}


def test_a_broker_that_is_down_loses_nothing(execute: Execute) -> None:
    ask(execute)

    def down(task: str) -> None:
        raise OperationalError("no broker")

    with pytest.raises(OperationalError):
        jobs_requested_start(start=down)
    assert jobs_requested_start(start=lambda _task: None) == [NIGHTLY]


def test_an_unknown_job_is_refused_with_those_there_are(execute: Execute) -> None:
    with pytest.raises(DataError, match="There is no job 'everything'") as caught, \
            transaction.atomic():  # fmt: skip
        ask(execute, "everything")
    assert NIGHTLY in caught.value.__cause__.diag.message_hint  # type: ignore[union-attr]
    assert not JobRequest.objects.exists()


def test_only_the_owner_may_ask_until_it_grants_it(execute: Execute) -> None:
    [(grants,)] = execute(
        "SELECT proacl::text FROM pg_proc WHERE oid = 'custody.job_request(text)'::regprocedure"
    )
    # An entry without a name before the sign is PUBLIC's.
    assert "{=" not in grants
    assert ",=" not in grants
