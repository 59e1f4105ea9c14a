"""The watch adjusts what drifted, and tells what it cannot mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks

from auditing.services import audit_watch as module
from auditing.services.audit_watch import audit_watch
from auditing.services.baseline import AUDIT_BASELINE
from auditing.services.track import table_track
from operations.models import Alert, Run
from operations.services.run_execute import run_execute

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Execute = Callable[..., list[tuple[Any, ...]]]


def warned() -> set[str | None]:
    found = run_checks(databases=["default"])
    return {each.id for each in found if (each.id or "").startswith("auditing.")}


def test_a_new_column_has_its_place_after_the_next_look(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY)")
    table_track("app.things", actor=person, reason="test")
    execute("INSERT INTO app.things VALUES (1)")
    execute("ALTER TABLE app.things ADD COLUMN colour text DEFAULT 'red'")
    assert warned() == {"auditing.W002"}
    audit_watch()
    assert warned() == set()
    assert not Alert.objects.filter(key__startswith=module.PREFIX).exists()
    run = Run.objects.get(kind=AUDIT_BASELINE)
    audit_watch()
    assert run_execute(run_id=run.pk).state == "succeeded"
    execute("UPDATE app.things SET colour = 'blue'")
    assert execute('SELECT op, "2_colour" FROM history.app__things ORDER BY seq') == [
        ("I", None),
        ("B", "red"),
        ("U", "blue"),
    ]


def test_a_lost_key_or_table_is_an_alert_until_it_is_mended(
    governed: str, execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.things (id int PRIMARY KEY)")
    execute("CREATE TABLE app.others (id int PRIMARY KEY)")
    table_track("app.things", actor=person, reason="test")
    table_track("app.others", actor=person, reason="test")
    execute("ALTER TABLE app.things DROP CONSTRAINT things_pkey")
    execute("DROP TABLE app.others")
    assert {"auditing.W003", "auditing.W004"} <= warned()
    audit_watch()
    open_alerts = Alert.objects.filter(key__startswith=module.PREFIX, resolved_at=None)
    assert {alert.summary for alert in open_alerts} == {
        "The audit of app.things needs attention.",
        "The audit of app.others needs attention.",
    }
    execute("ALTER TABLE app.things ADD PRIMARY KEY (id)")
    audit_watch()
    assert [alert.summary for alert in open_alerts.all()] == [
        "The audit of app.others needs attention."
    ]
