"""Who may redact, what forbids it, and what a redaction never hides."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from auditing.exceptions import BadColumns, RedactRefused
from auditing.models import AuditEvent, RedactedValue
from auditing.services import audit_redact as service
from auditing.services.audit_redact import AuditRedact
from auditing.services.audit_seal import audit_seal
from auditing.services.redact_plan import Wanted, redact_plan
from auditing.services.track import TrackTerms, table_track
from operations.models import Certificate, Run
from operations.runs.exceptions import ApprovalRefused
from operations.services.run_execute import run_execute
from operations.services.runs import run_approve
from operations.vetoes import Vetoed
from retention.models import LegalHold
from tests.approving import second_person
from tests.console import person as someone
from tests.retention.holding import place, release

from .redacting import asked, broken, redacted

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
_ADDED = """
INSERT INTO history.app__people
SELECT (x).* FROM (SELECT jsonb_populate_record(h, '{"seq": 1, "statement": 0}') AS x
                   FROM history.app__people h WHERE "1_id" = 1 AND op = 'I') y
"""
HISTORY = 'SELECT "1_id", op, "2_email", "3_city" FROM history.app__people ORDER BY seq'


@pytest.fixture
def asker(db: None) -> User:
    return someone("asker", role="officer")


@pytest.fixture
def people(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, email text, city text)")
    table_track("app.people", actor=person, reason="the law")
    execute("INSERT INTO app.people SELECT n, 'mail-' || n, 'Ulm' FROM generate_series(1, 6) n")
    execute("UPDATE app.people SET city = 'Bonn' WHERE id <= 2")
    audit_seal()


def approved(run: Run) -> Run:
    run_approve(run_id=run.pk, approver=second_person())
    return run_execute(run_id=run.pk)


def test_another_person_approves_what_was_planned(
    execute: Execute, people: None, asker: User
) -> None:
    before = execute(HISTORY)
    run = asked(asker, "app.people", "email", keys=("1",))
    with pytest.raises(ApprovalRefused, match="another person has to"):
        run_approve(run_id=run.pk, approver=asker)
    assert execute(HISTORY) == before
    run = approved(run)
    assert (run.state, run.result["values"]) == ("succeeded", 2)


def test_a_hold_on_the_record_wins_whatever_became_of_the_row(
    execute: Execute, people: None, asker: User
) -> None:
    place("2031-17", "app.people", where="city = 'Bonn'")
    execute("UPDATE app.people SET city = 'Ulm' WHERE id = 1")
    execute("DELETE FROM app.people WHERE id = 2")
    for key in ("1", "2"):
        with pytest.raises(Vetoed, match="hold 2031-17"):
            redact_plan(Wanted("app.people", ("email",), (key,)), using="default")
    assert redact_plan(Wanted("app.people", ("email",), ("3",)), using="default").total == 1
    release("2031-17")
    assert redacted(asker, "app.people", "email", keys=("1",)).result["values"] == 3


@pytest.mark.parametrize("table", ["app.people", "history.app__people"])
def test_a_hold_that_comes_after_the_approval_stops_it(
    execute: Execute, people: None, asker: User, table: str
) -> None:
    before = execute(HISTORY)
    run = asked(asker, "app.people", "email", keys=("1", "2"))
    run_approve(run_id=run.pk, approver=second_person())
    place("2031-17", table)
    run = run_execute(run_id=run.pk)
    assert (run.state, "hold 2031-17" in run.error) == ("cancelled", True)
    assert execute(HISTORY) == before
    assert not RedactedValue.objects.exists()
    assert not Certificate.objects.filter(kind="redaction").exists()


def test_what_went_before_a_hold_came_is_certified(
    execute: Execute, people: None, asker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asked(asker, "app.people", "email", where="id > 0")
    run_approve(run_id=run.pk, approver=second_person())
    monkeypatch.setattr(service, "_SIZE", (2, 2, 2))
    real = AuditRedact.committed

    def held(self: AuditRedact) -> None:
        real(self)
        if not LegalHold.objects.exists():
            place("2031-17", "app.people")

    monkeypatch.setattr(AuditRedact, "committed", held)
    run = run_execute(run_id=run.pk)
    assert (run.state, run.result["values"], run.result["outcome"]) == ("cancelled", 2, "cancelled")
    assert sum(1 for row in execute(HISTORY) if row[2] is None) == 2
    body = Certificate.objects.get(kind="redaction").body["body"]
    assert (body["redacted_values"], body["outcome"]) == (2, "cancelled")
    assert AuditEvent.objects.filter(kind="redact", run_id=run.pk).count() == 1
    assert not broken()


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ('UPDATE history.app__people SET "3_city" = \'Rome\' WHERE "1_id" = 1', "not what was"),
        ('UPDATE history.app__people SET "2_email" = \'x\' WHERE "1_id" = 1', "not what was"),
        (
            _ADDED,
            "is in no block",
        ),
    ],
)
def test_what_somebody_changed_is_not_hidden(
    execute: Execute, people: None, asker: User, tampering: str, said: str
) -> None:
    execute(tampering)
    before = execute(HISTORY)
    run = approved(asked(asker, "app.people", "email", keys=("1",)))
    assert (run.state, said in run.error) == ("failed", True), run.error
    assert execute(HISTORY) == before
    assert not RedactedValue.objects.exists()


def test_columns_that_cannot_be_redacted_are_refused_with_what_to_do(
    execute: Execute, person: User
) -> None:
    execute(
        "CREATE TABLE app.odd (id int PRIMARY KEY, a text, b text,"
        " c text GENERATED ALWAYS AS (a || '!') STORED)"
    )
    terms = TrackTerms(mask=["b"])
    table_track("app.odd", actor=person, reason="the law", terms=terms)
    execute("INSERT INTO app.odd (id, a, b) VALUES (1, 'x', 'y')")

    def plan(column: str) -> Any:
        return redact_plan(Wanted("app.odd", (column,), ("1",)), using="default")

    with pytest.raises(RedactRefused, match=r"part of the key.*purge_run"):
        plan("id")
    with pytest.raises(BadColumns, match="masked"):
        plan("b")
    with pytest.raises(BadColumns, match="no column 'd'"):
        plan("d")
    cautions = plan("a").facts["cautions"]
    assert "1 of the records is in app.odd now, with a value" in cautions[0]
    assert "c is computed by PostgreSQL" in cautions[1]


def test_the_command_shows_asks_and_tells(execute: Execute, people: None, asker: User) -> None:
    out = StringIO()
    wanted = ("app.people", "--column", "email", "--where", "city = 'Bonn'", "--user", "asker")
    call_command("audit_redact", *wanted, "--dry-run", stdout=out)
    assert "Would redact 4 versions of app.people:" in out.getvalue()
    assert out.getvalue().endswith("Nothing was changed.\n")
    assert not Run.objects.filter(kind="audit_redact").exists()
    with pytest.raises(CommandError, match="Say why") as refused:
        call_command("audit_redact", *wanted)
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="part of the key") as refused:
        call_command("audit_redact", "app.people", "--column", "id", "--key", "1", "--reason", "x")
    assert refused.value.returncode == 3
    out = StringIO()
    call_command("audit_redact", *wanted, "--reason", "Art. 17", "--json", stdout=out)
    run = Run.objects.get(pk=json.loads(out.getvalue())["run"]["id"])
    run_approve(run_id=run.pk, approver=second_person())
    out = StringIO()
    call_command("audit_redact", *wanted, "--reason", "Art. 17", stdout=out)
    certificate = Certificate.objects.get(kind="redaction")
    assert (
        f"4 values of email are gone from 4 versions of app.people. Certificate "
        f"{certificate.number}." in out.getvalue()
    )
    out = StringIO()
    call_command("audit_redact", *wanted, "--reason", "again", stdout=out)
    assert "There is nothing to redact." in out.getvalue()
    assert AuditEvent.objects.filter(kind="redact").count() == 1
    assert not broken()
