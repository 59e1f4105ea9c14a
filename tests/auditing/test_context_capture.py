"""Who changes an audited table, as its history, the log and the views tell it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from auditing.context import acting
from auditing.models import ChangeContext, ChangeStatement, ChangeTransaction, TrackedTable
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import TrackTerms, table_track

from .sessions import APPLICATION, application_session, role_made

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]

Execute = Callable[..., list[tuple[Any, ...]]]
NEEDS = "Changes of app.things need a reason"


def made(execute: Execute, person: User, name: str = "things", **terms: Any) -> TrackedTable:
    execute(f"CREATE TABLE app.{name} (id int PRIMARY KEY, name text)")
    role_made()
    execute(f"GRANT USAGE ON SCHEMA app TO {APPLICATION}")
    execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON app.{name} TO {APPLICATION}")
    return table_track(f"app.{name}", actor=person, reason="test", terms=TrackTerms(**terms))


def contexts_of(execute: Execute, tracked: TrackedTable) -> list[int | None]:
    return [
        row[0]
        for row in execute(f"SELECT context FROM history.{tracked.history_name} ORDER BY seq")
    ]


def test_what_the_application_says_is_in_the_log_as_a_claim(
    governed: str, execute: Execute, person: User
) -> None:
    made(execute, person)
    with application_session() as application, application.transaction():
        application.execute(
            "SELECT custody.set_context(\"user\" => '42', reason => 'Moved house',"
            " user_email => 'eve@example.org', ip_address => '192.0.2.9', user_agent => 'Shop/3',"
            " request_id => 'req-1', extra => '{\"tenant\": 5}')"
        )
        application.execute("INSERT INTO app.things VALUES (1, 'a')")
        application.execute("UPDATE app.things SET name = 'b'")
    statement_summarise()
    context = ChangeContext.objects.get()
    assert (context.claimed, context.session_user, context.extra) == (
        True,
        APPLICATION,
        {"tenant": 5},
    )
    assert list(ChangeStatement.objects.values_list("operation", "actor", "context_id")) == [
        ("U", "app:42", context.pk),
        ("I", "app:42", context.pk),
    ]
    assert ChangeTransaction.objects.get().context == context
    assert execute(
        "SELECT action, user_id, user_email, host(ip_address), user_agent, reason, request_id,"
        " actor FROM custody.audit_log ORDER BY created_at"
    ) == [
        (action, "42", "eve@example.org", "192.0.2.9", "Shop/3", "Moved house", "req-1", "app:42")
        for action in ("INSERT", "UPDATE")
    ]


def test_what_the_console_says_is_no_claim(governed: str, execute: Execute, person: User) -> None:
    made(execute, person)
    with acting(actor="console:ada", reason="Corrected"):
        execute("INSERT INTO app.things VALUES (1, 'a')")
    execute("INSERT INTO app.things VALUES (2, 'b')")
    statement_summarise()
    [(role,)] = execute("SELECT session_user::text")
    assert list(
        ChangeStatement.objects.order_by("id").values_list("actor", "context__claimed")
    ) == [("console:ada", False), (f"db:{role}", None)]


def test_somebody_elses_number_is_not_somebody_elses_name(
    governed: str, execute: Execute, person: User
) -> None:
    tracked = made(execute, person)
    with acting(actor="console:ada", reason="Corrected"):
        execute("INSERT INTO app.things VALUES (1, 'a')")
    [theirs] = contexts_of(execute, tracked)
    with application_session() as application, application.transaction():
        application.execute("SELECT set_config('custody.context_id', %s, true)", [str(theirs)])
        application.execute("DELETE FROM app.things")
    statement_summarise()
    assert list(ChangeStatement.objects.values_list("operation", "actor", "context_id")) == [
        ("D", f"db:{APPLICATION}", None),
        ("I", "console:ada", theirs),
    ]
    assert execute("SELECT action, actor, reason FROM custody.audit_log ORDER BY created_at") == [
        ("INSERT", "console:ada", "Corrected"),
        ("DELETE", f"db:{APPLICATION}", None),
    ]


@pytest.mark.parametrize(
    "context",
    [
        "no json",
        "[]",
        '{"ip_address": "nowhere", "user_id": {}}',
        r'{"reason": "\u0000"}',
        "x" * 99_999,
    ],
)
def test_no_write_fails_because_of_what_was_said(
    governed: str, execute: Execute, person: User, context: str
) -> None:
    tracked = made(execute, person)
    with application_session() as application, application.transaction():
        application.execute("SELECT set_config('custody.context', %s, true)", [context])
        application.execute("INSERT INTO app.things VALUES (1, 'a')")
    assert contexts_of(execute, tracked) == [ChangeContext.objects.get().pk]


def test_a_change_without_the_reason_that_is_asked_for_is_refused(
    governed: str, execute: Execute, person: User
) -> None:
    tracked = made(execute, person, reason_required=True)
    with application_session() as application:
        for statement in (
            "INSERT INTO app.things VALUES (1, 'a')",
            "SELECT custody.set_context(\"user\" => '1'); INSERT INTO app.things VALUES (1, 'a')",
            "SELECT custody.set_context(reason => ' '); INSERT INTO app.things VALUES (1, 'a')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=NEEDS) as caught:
                application.execute(statement)
            hint = caught.value.diag.message_hint or ""
            assert "custody.set_context(reason => ...)" in hint
        with application.transaction():
            application.execute("SELECT custody.set_context(reason => 'Asked for')")
            application.execute("INSERT INTO app.things VALUES (1, 'a')")
        for statement in ("UPDATE app.things SET name = 'b'", "DELETE FROM app.things",
                          "TRUNCATE app.things"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=NEEDS):
                application.execute(statement)
        # Nothing is changed, so there is nothing to give a reason for.
        application.execute("UPDATE app.things SET name = 'b' WHERE false")
        application.execute("DELETE FROM app.things WHERE id = 99")
    assert execute("SELECT * FROM app.things") == [(1, "a")]
    assert len(contexts_of(execute, tracked)) == 1


def test_a_change_of_another_table_before_is_no_way_around_the_reason(
    governed: str, execute: Execute, person: User
) -> None:
    made(execute, person, name="others")
    made(execute, person, reason_required=True)
    with application_session() as application:
        application.execute("BEGIN")
        application.execute("SELECT custody.set_context(\"user\" => '1')")
        application.execute("INSERT INTO app.others VALUES (1, 'a')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=NEEDS):
            application.execute("INSERT INTO app.things VALUES (1, 'a')")
        application.execute("ROLLBACK")
        application.execute("BEGIN")
        application.execute("SELECT set_config('custody.context_id', '1', true)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=NEEDS):
            application.execute("INSERT INTO app.things VALUES (1, 'a')")
        application.execute("ROLLBACK")


def test_the_console_is_asked_for_a_reason_as_well(
    governed: str, execute: Execute, person: User
) -> None:
    made(execute, person, reason_required=True)
    with acting(actor="console:ada"), pytest.raises(ProgrammingError, match=NEEDS):
        execute("INSERT INTO app.things VALUES (1, 'a')")
    with acting(actor="console:ada", reason="Asked for"):
        execute("INSERT INTO app.things VALUES (1, 'a')")
        with transaction.atomic():
            execute("UPDATE app.things SET name = 'b'")
    assert ChangeContext.objects.count() == 2


def test_a_purge_needs_none(governed: str, execute: Execute, person: User) -> None:
    """It is asked for with a reason, approved and certified: one event of its own."""
    tracked = made(execute, person, reason_required=True)
    with acting(reason="Made"):
        execute("INSERT INTO app.things VALUES (1, 'a'), (2, 'b')")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('custody.purging', %s, true)", [f" {tracked.table_oid} "])
        cursor.execute("DELETE FROM app.things")
    assert execute("SELECT FROM app.things") == []
    assert contexts_of(execute, tracked) == []
