"""The application's own triggers work under a purge and a restore as they do for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from retention.services.purge_start import purge_run

from .purging import assert_whole, live, make_events, make_policy, ran

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed", "small_batches")]


@pytest.mark.parametrize("level", ["ROW", "STATEMENT"])
def test_a_trigger_that_names_no_schema_finds_what_lies_beside_its_table(
    execute: Callable[..., list[tuple[Any, ...]]], person: User, level: str
) -> None:
    make_events(execute, due=300)
    execute("CREATE TABLE app.audit_logs (action text)")
    execute(
        "CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO audit_logs (action) VALUES (TG_OP); RETURN NULL; END $$"
    )
    execute(
        "CREATE TRIGGER note AFTER INSERT OR DELETE ON app.events"
        f" FOR EACH {level} EXECUTE FUNCTION app.note()"
    )
    before = live()

    run = ran(purge_run(policy=make_policy(), requester=person))

    assert run.done == 300
    assert_whole(before)
    logged = execute("SELECT action, count(*) FROM app.audit_logs GROUP BY 1")
    assert [action for action, _ in logged] == ["DELETE"]
    assert level == "STATEMENT" or logged == [("DELETE", 300)]

    call_command("archive_restore", run.result["archive"])

    assert live() == before
    assert {action for (action,) in execute("SELECT action FROM app.audit_logs")} == {
        "DELETE",
        "INSERT",
    }
