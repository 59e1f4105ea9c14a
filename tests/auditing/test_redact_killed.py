"""Killed at any moment, a redaction leaves a log that verifies, and goes on to the same end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from auditing.models import AuditEvent, RedactedValue
from auditing.services import audit_redact as service
from auditing.services.audit_redact import AuditRedact, audit_redact
from auditing.services.redact_plan import Wanted
from auditing.services.track import table_track
from operations.models import Certificate, Run
from operations.services.run_execute import run_execute
from operations.services.runs import run_approve
from tests.approving import second_person

from .redacting import SECRET, asked, broken, found_in

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
MOMENTS = ("prepare", "step", "committed", "verify", "finish")


def killed(run: Run, moment: str, number: int) -> None:
    """A process of its own works on the run, and is killed when it has been there so often."""
    child = os.fork()
    if child == 0:
        # The parent's session stays the parent's.
        connection.connection = None
        real, seen = getattr(AuditRedact, moment), [0]

        def until(self: AuditRedact, *given: Any) -> Any:
            done = real(self, *given)
            seen[0] += 1
            if seen[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        setattr(AuditRedact, moment, until)
        try:
            run_execute(run_id=run.pk)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, moment


def test_killed_at_every_stage_it_ends_as_if_nothing_had_been(
    execute: Execute, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, email text, phone text)")
    table_track("app.people", actor=person, reason="the law")
    for start in range(1, 41, 10):
        execute(
            f"INSERT INTO app.people SELECT n, '{SECRET}' || n, '{SECRET}'"
            f" FROM generate_series({start}, {start + 9}) n"
        )
    monkeypatch.setattr(service, "_SIZE", (3, 3, 3))
    wanted = Wanted("app.people", ("email", "phone"), where="id <= 30")
    run = asked(person, "app.people", "email", "phone", where="id <= 30")
    run_approve(run_id=run.pk, approver=second_person())
    for moment in MOMENTS:
        killed(run, moment, 2 if moment in ("step", "committed", "prepare") else 1)
        assert not broken(), moment
        left = execute('SELECT count(*) FROM history.app__people WHERE "2_email" IS NULL')[0][0]
        assert RedactedValue.objects.count() == 2 * left, moment
        assert not Certificate.objects.filter(kind="redaction").exists()
    done = audit_redact(wanted=wanted, requester=person, reason="Art. 17")
    assert done is not None
    assert (done.pk, done.state, done.result["values"]) == (run.pk, "succeeded", 60)
    assert AuditEvent.objects.filter(kind="redact").count() == 1
    assert Certificate.objects.filter(kind="redaction").count() == 1
    assert execute('SELECT count(*) FROM history.app__people WHERE "2_email" IS NULL') == [(30,)]
    assert found_in(f"{SECRET}7") == {"app.people"}
    assert not broken()
