"""A redacted log verifies, and what else is wrong with it is found as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from auditing.models import RedactedValue, VerifyFinding
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_verify import audit_verify_start
from auditing.services.baseline import baseline_run
from auditing.services.track import table_track
from operations.services.run_to_end import run_to_end

from .redacting import redacted

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def people(execute: Execute, person: User) -> None:
    """1,000 rows whose address was redacted, and half of which still have it."""
    execute("CREATE TABLE app.people (id int PRIMARY KEY, email text, name text)")
    execute("INSERT INTO app.people SELECT n, 'mail' || n, 'n' FROM generate_series(1, 1200) n")
    tracked = table_track("app.people", actor=person, reason="the law")
    baseline_run(tracked, requester=person)
    execute("UPDATE app.people SET name = 'm'")
    execute("UPDATE app.people SET email = NULL WHERE id <= 500")
    run = redacted(person, "app.people", "email", where="id <= 1000")
    assert run.result["values"] == 2 * 1000
    audit_seal()


def found(person: User) -> list[str]:
    run = run_to_end(run=audit_verify_start(requester=person, reason="to be sure"))
    assert run.state == "succeeded", run.error
    return list(VerifyFinding.objects.filter(run_id=run.pk).values_list("text", flat=True))


def test_the_log_verifies_and_a_row_that_still_has_the_value_is_no_finding(
    people: None, person: User
) -> None:
    assert found(person) == []


@pytest.mark.superuser
def test_what_somebody_does_to_a_redacted_log_is_found(
    execute: Execute, people: None, person: User
) -> None:
    execute("UPDATE history.app__people SET \"3_name\" = 'x' WHERE \"1_id\" = 7 AND op = 'B'")
    execute("UPDATE history.app__people SET \"2_email\" = 'x' WHERE \"1_id\" = 8 AND op = 'B'")
    one = RedactedValue.objects.last()
    assert one is not None
    RedactedValue.objects.filter(pk=one.pk).update(commitment=bytes(32))
    # The event trigger would put the triggers back.
    execute("ALTER EVENT TRIGGER custody_audit_ddl DISABLE")
    execute("ALTER TABLE app.people DISABLE TRIGGER ALL")
    execute("UPDATE app.people SET name = 'z' WHERE id = 900")
    for each in ("insert", "update", "delete", "truncate"):
        execute(f"ALTER TABLE app.people ENABLE ALWAYS TRIGGER custody_audit_{each}")
    execute("ALTER EVENT TRIGGER custody_audit_ddl ENABLE")
    texts = found(person)
    assert any("tells of other values" in text for text in texts)
    [live] = [text for text in texts if "app.people 900 is not" in text]
    assert "(name)" in live
    for record in ("7", "8"):
        assert any(f"app.people {record}" in text for text in texts), texts
