"""A purge from the plan to the certificate, and what may happen to it on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from operations.models import Certificate
from retention.models import Archive
from retention.services import purge
from retention.services.purge_start import purge_run

from .purging import assert_whole, live, make_events, make_policy

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "_PAGES", (2, 1, 2))
    monkeypatch.setattr(purge, "_KEYS", (100, 1, 100))


def test_expired_rows_are_archived_and_deleted_and_certified(
    execute: Execute, person: User
) -> None:
    make_events(execute, due=600)
    before = live()
    answer = purge_run(policy=make_policy(), requester=person)
    assert answer.run is not None
    assert (answer.run.state, answer.run.done, answer.run.total) == ("succeeded", 600, 600)
    assert sum(live().values()) == 60
    assert_whole(before)
    archive = Archive.objects.get(run=answer.run)
    assert archive.parts.count() > 3
    assert (archive.state, archive.rows) == ("complete", 600)
    assert Certificate.objects.get(run=answer.run).body["body"]["tables"] == [
        {"table": "app.events", "rows": 600}
    ]
