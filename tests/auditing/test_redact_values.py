"""A redacted value is nowhere any more, and the log is as whole as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from auditing.models import AuditEvent, RedactedValue, SealSection
from auditing.seals.redacted import redacted_digest
from auditing.services.audit_redact import audit_redact
from auditing.services.audit_seal import audit_seal
from auditing.services.baseline import baseline_run
from auditing.services.redact_close import redacted_lines
from auditing.services.redact_plan import Wanted
from auditing.services.sync import table_sync
from auditing.services.track import table_track
from operations.models import Certificate, Run
from operations.selectors.certificate_checks import certificate_check

from .redacting import SECRET, broken, found_in, redacted

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def people(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, email text, name text)")
    execute("INSERT INTO app.people SELECT n, 'old-' || n, 'n' FROM generate_series(1, 30) n")
    tracked = table_track("app.people", actor=person, reason="the law")
    baseline_run(tracked, requester=person)


def test_all_versions_of_a_record_lose_the_value_and_no_other_does(
    execute: Execute, people: None, person: User
) -> None:
    execute(f"UPDATE app.people SET email = '{SECRET}' || id WHERE id IN (1, 2)")
    execute("UPDATE app.people SET name = 'changed' WHERE id IN (1, 2)")
    execute("DELETE FROM app.people WHERE id = 1")
    audit_seal()
    rest = execute('SELECT * FROM history.app__people WHERE "1_id" <> 1 ORDER BY seq, "1_id"')
    run = redacted(person, "app.people", "email", keys=("1",))
    assert (run.result["versions"], run.result["values"]) == (4, 4)
    emails = execute('SELECT op, "2_email", "3_name" FROM history.app__people WHERE "1_id" = 1')
    assert sorted(emails) == [
        ("B", None, "n"),
        ("D", None, "changed"),
        ("U", None, "changed"),
        ("U", None, "n"),
    ]
    assert rest == execute(
        'SELECT * FROM history.app__people WHERE "1_id" <> 1 ORDER BY seq, "1_id"'
    )
    assert not broken()
    audit_seal()
    assert not broken()


def test_the_value_is_in_no_relation_and_not_in_the_statistics(
    execute: Execute, people: None, person: User
) -> None:
    execute(f"UPDATE app.people SET email = '{SECRET}' WHERE id <= 20")
    execute("UPDATE app.people SET email = NULL")
    execute("ANALYZE")
    assert found_in(SECRET) >= {"pg_catalog.pg_stats"}
    run = redacted(person, "app.people", "email", where=f"email = '{SECRET}'")
    assert run.plan["records"] == 20
    assert found_in(SECRET) == set()
    assert not broken()


def test_it_is_an_event_with_a_certificate_that_names_each_commitment(
    execute: Execute, people: None, person: User
) -> None:
    run = redacted(person, "app.people", "email", "name", keys=("1", "2"))
    event = AuditEvent.objects.get(kind="redact")
    certificate = Certificate.objects.get(kind="redaction")
    assert (event.run_id, event.certificate, event.rows) == (run.pk, certificate.number, 2)
    assert event.reason == "Art. 17"
    assert certificate_check(certificate).valid
    body = certificate.body["body"]
    assert (body["redacted_values"], body["approved_by"]) == (4, "second")
    assert body["redacted_sha256"] == redacted_digest(redacted_lines(run))
    kept = RedactedValue.objects.filter(run_id=run.pk)
    assert {each.name for each in kept} == {"2_email", "3_name"}
    again = audit_redact(
        wanted=Wanted("app.people", ("email",), keys=("1",)), requester=person, reason="again"
    )
    assert again is None


def test_salts_of_what_is_gone_are_gone_and_those_of_the_others_stay(
    execute: Execute, people: None, person: User
) -> None:
    redacted(person, "app.people", "email", keys=("7",))
    section = SealSection.objects.get(form="image")
    assert section.secret is None
    place = RedactedValue.objects.get().place
    slots = [bytes(section.salts)[at : at + 16] for at in range(0, len(section.salts), 16)]
    gone = place * len(section.names) + section.names.index("2_email")
    assert [number for number, salt in enumerate(slots) if salt == bytes(16)] == [gone]
    redacted(person, "app.people", "name", keys=("7", "8"))
    assert not broken()


def test_columns_whose_type_was_changed_or_that_were_dropped_lose_all_their_values(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, email text)")
    tracked = table_track("app.people", actor=person, reason="the law")
    execute("INSERT INTO app.people VALUES (3, '4711'), (4, '4712')")
    execute("ALTER TABLE app.people ALTER email TYPE bigint USING email::bigint")
    table_sync(tracked, actor=person)
    execute("UPDATE app.people SET email = email + 10")
    execute("ALTER TABLE app.people DROP email")
    table_sync(tracked, actor=person)
    values = 'SELECT "1_id", op, "2_email", "2r2_email" FROM history.app__people ORDER BY 1, seq'
    before = execute(values)
    run = redacted(person, "app.people", "email", keys=("3",))
    assert run.result["values"] == sum(1 for row in before if row[0] == 3)
    names = RedactedValue.objects.values_list("name", flat=True)
    assert set(names) == {"2_email", "2r2_email"}
    after = [row if row[0] != 3 else (*row[:2], None, None) for row in before]
    assert execute(values) == after
    assert {"4712", 4722} <= {value for row in after for value in row}
    assert not broken()


def test_values_that_had_no_column_yet_go_one_by_one(
    execute: Execute, people: None, person: User
) -> None:
    execute("ALTER TABLE app.people ADD phone text, ADD city text")
    execute(f"UPDATE app.people SET phone = '{SECRET}', city = 'Ulm' WHERE id IN (4, 5)")
    assert execute("SELECT count(*) FROM history.app__people WHERE rest ->> '4' IS NOT NULL") == [
        (2,)
    ]
    redacted(person, "app.people", "phone", keys=("4",))
    assert execute("SELECT rest FROM history.app__people WHERE \"1_id\" = 4 AND op = 'U'") == [
        ('{"5": "Ulm"}',)
    ]
    assert not broken()
    kept = {each.name: each for each in RedactedValue.objects.all()}
    assert kept["rest.4"].salt is None
    assert kept["rest.5"].commitment is None
    redacted(person, "app.people", "city", keys=("4",))
    assert execute("SELECT rest FROM history.app__people WHERE \"1_id\" = 4 AND op = 'U'") == [
        (None,)
    ]
    assert not RedactedValue.objects.exclude(salt=None).exists()
    assert not broken()
    audit_seal()
    assert not broken()


def test_a_record_is_followed_to_its_former_and_later_keys_and_no_further(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.members (club text, nr int, email text, PRIMARY KEY (club, nr))")
    table_track("app.members", actor=person, reason="the law")
    execute("INSERT INTO app.members SELECT 'a', n, 'mail' || n FROM generate_series(6, 1, -1) n")
    # 1 -> 2 -> ... all at once: each record has had two keys, each key two records.
    execute("UPDATE app.members SET nr = nr + 1")
    execute("UPDATE app.members SET club = 'b' WHERE nr = 4")
    run = redacted(person, "app.members", "email", keys=("b,4",))
    assert run.plan["under_other_keys"] == ['["a","3"]', '["a","4"]']
    left = execute(
        'SELECT "1_club", "2_nr", op, "3_email" FROM history.app__members'
        ' WHERE "2_nr" IN (3, 4) OR "1_club" = \'b\' ORDER BY 1, 2, seq'
    )
    assert left == [
        ("a", 3, "I", None),
        ("a", 3, "R", None),
        ("a", 3, "U", "mail2"),
        ("a", 4, "I", "mail4"),
        ("a", 4, "R", "mail4"),
        ("a", 4, "U", None),
        ("a", 4, "R", None),
        ("b", 4, "U", None),
    ]
    assert not broken()


def test_what_is_asked_for_leaves_no_trace_of_the_value_itself(
    execute: Execute, people: None, person: User
) -> None:
    run = redacted(person, "app.people", "email", where="email = 'old-9' and id > 2")
    run = Run.objects.get(pk=run.pk)
    assert run.plan["chosen_by"] == "versions where email = '…' AND id > '…'"
    assert "old-9" not in str([run.parameters, run.plan, run.result, run.cursor])
    assert run.plan["record_ids"] == ["9"]
