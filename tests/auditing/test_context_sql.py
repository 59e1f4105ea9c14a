"""What an application says of its changes by SQL is kept, and never in the way of a write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import transaction

from auditing.models import ChangeContext

from .sessions import APPLICATION, application_session, role_made

pytestmark = [pytest.mark.sql]

Execute = Callable[..., list[tuple[Any, ...]]]
EVERYTHING = {
    "user": "42",
    "reason": "Asked for by phone",
    "user_email": "ada@example.com",
    "impersonator": "7",
    "ip_address": "2001:db8::1",
    "user_agent": "Mozilla/5.0",
    "request_id": "req-1",
}


def said(execute: Execute) -> str:
    return execute("SELECT current_setting('custody.context', true)")[0][0]


def set_context(execute: Execute, **arguments: Any) -> None:
    names = ", ".join(f'"{name}" => %s' for name in arguments)
    execute(f"SELECT custody.set_context({names})", list(arguments.values()))


@pytest.fixture
def public_capture(transactional_db: None, execute: Execute) -> Iterator[None]:
    """A function of the console's that the application reaches, as a trigger's is."""
    execute(
        """
        CREATE FUNCTION custody.test_capture(context text) RETURNS bigint
        LANGUAGE sql SECURITY DEFINER AS 'SELECT custody.audit_context(context)'
        """
    )
    yield
    execute("DROP FUNCTION custody.test_capture(text)")


def kept(execute: Execute, context: str | dict[str, Any]) -> ChangeContext:
    text = context if isinstance(context, str) else json.dumps(context)
    [(made,)] = execute("SELECT custody.audit_context(%s)", [text])
    return ChangeContext.objects.get(pk=made)


@pytest.mark.django_db
def test_everything_said_is_kept(execute: Execute) -> None:
    set_context(execute, **EVERYTHING, extra=json.dumps({"ticket": 5, "none": None}))
    context = kept(execute, said(execute))
    [(xid, role)] = execute("SELECT pg_current_xact_id()::text::bigint, session_user::text")
    assert {f.name: getattr(context, f.name) for f in ChangeContext._meta.fields} == {
        "id": context.pk,
        "xid": xid,
        "at": context.at,
        "actor": "app:42",
        "user_id": "42",
        "user_email": "ada@example.com",
        "impersonator": "7",
        "reason": "Asked for by phone",
        "ip_address": "2001:db8::1",
        "user_agent": "Mozilla/5.0",
        "request_id": "req-1",
        "extra": {"ticket": 5, "none": None},
        "claimed": False,
        "session_user": role,
        "client_addr": None,
    }


@pytest.mark.django_db
def test_what_is_left_out_is_no_part_of_the_setting(execute: Execute) -> None:
    set_context(execute, reason="Because", user="")
    assert json.loads(said(execute)) == {"reason": "Because"}
    execute("SELECT custody.set_context('9')")
    assert json.loads(said(execute)) == {"actor": "app:9", "user_id": "9"}
    execute("SELECT custody.set_context()")
    assert said(execute) == ""


@pytest.mark.django_db
def test_another_context_of_the_same_transaction_is_another_row(execute: Execute) -> None:
    execute("SELECT set_config('custody.context_id', '5', true)")
    set_context(execute, user="1")
    assert execute("SELECT current_setting('custody.context_id')") == [("",)]
    execute("SELECT set_config('custody.context_id', '5', true), custody.clear_context()")
    assert execute(
        "SELECT current_setting('custody.context_id'), current_setting('custody.context')"
    ) == [("", "")]


@pytest.mark.django_db(transaction=True)
def test_it_ends_with_its_transaction_or_savepoint(execute: Execute) -> None:
    set_context(execute, user="nobody: outside of a transaction block")
    assert not said(execute)
    with transaction.atomic():
        set_context(execute, user="1")
        with transaction.atomic():
            set_context(execute, user="2")
            transaction.set_rollback(True)
        assert json.loads(said(execute))["user_id"] == "1"
        with transaction.atomic():
            set_context(execute, user="3")
        assert json.loads(said(execute))["user_id"] == "3"
    assert not said(execute)
    assert not ChangeContext.objects.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no json", {"extra": {"unread": "no json"}}),
        ("{", {"extra": {"unread": "{"}}),
        ("[1, 2]", {"extra": {"unread": "[1, 2]"}}),
        ("null", {"extra": {"unread": "null"}}),
        ("x" * 9000, {"extra": {"unread": "x" * 2000}}),
        ("[" * 100_000, {"extra": {"unread": "[" * 2000}}),
        (r'{"reason": "a\u0000b\\u0000\ud800c"}', {"reason": "a?b\\u0000?c"}),
        (r'{"reason": "\ud83d\ude00"}', {"reason": "😀"}),
        ('{"reason": 5, "user_id": true}', {"reason": "5", "user_id": "true"}),
        ('{"reason": {"why": null}}', {"reason": '{"why": null}'}),
        ('{"ip_address": "not one"}', {"extra": {"ip_address": "not one"}}),
        ('{"ip_address": "1.2.3.4:80"}', {"extra": {"ip_address": "1.2.3.4:80"}}),
        ('{"ip_address": "10.1.2.3/8"}', {"ip_address": "10.1.2.3"}),
        ('{"ip_address": ""}', {}),
        ('{"extra": null}', {}),
        ('{"extra": [1]}', {"extra": {"extra": [1]}}),
        ('{"extra": "text"}', {"extra": {"extra": "text"}}),
        ('{"tenant": 3, "extra": {"a": 1}}', {"extra": {"tenant": 3, "a": 1}}),
        (json.dumps({"reason": "r" * 5000}), {"reason": "r" * 2000}),
        (json.dumps({"user_agent": "u\nv" + "w" * 5000}), {"user_agent": "u v" + "w" * 997}),
        (json.dumps({"request_id": "q" * 500}), {"request_id": "q" * 200}),
        (json.dumps({"user_id": "i\r\nj" * 500}), {"user_id": ("i j" * 500)[:300]}),
        (
            json.dumps({"extra": {"long": "e" * 20_000}}),
            {"extra": {"cut": ('{"long": "' + "e" * 20_000)[:10_000]}},
        ),
    ],
)
@pytest.mark.django_db
def test_whatever_it_is_it_is_kept(execute: Execute, text: str, expected: dict[str, Any]) -> None:
    context = kept(execute, text)
    fields = ("user_id", "reason", "ip_address", "user_agent", "request_id", "extra")
    found = {field: getattr(context, field) for field in fields}
    nothing = {field: None if field == "ip_address" else "" for field in fields} | {"extra": {}}
    assert found == {**nothing, **expected}


@pytest.mark.django_db
def test_without_an_actor_it_is_the_user_else_the_role(execute: Execute) -> None:
    [(role,)] = execute("SELECT session_user::text")
    assert kept(execute, {"reason": "x"}).actor == f"db:{role}"
    assert kept(execute, {"user_id": "8"}).actor == "app:8"
    assert kept(execute, {"actor": " ", "user_id": "8"}).actor == "app:8"
    assert kept(execute, {"actor": "console:ada\n", "user_id": "8"}).actor == "console:ada "


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        ("app:42", "app:42"),
        ("console:ada", "app:console:ada"),
        (" Console:ada", "app: Console:ada"),
        ("db:postgres", "app:db:postgres"),
        (None, f"db:{APPLICATION}"),
    ],
)
def test_a_claim_never_passes_for_the_console(
    public_capture: None, actor: str | None, expected: str
) -> None:
    with application_session() as application:
        application.execute(
            "SELECT custody.test_capture(%s)", [json.dumps({"actor": actor, "reason": "r"})]
        )
    context = ChangeContext.objects.get()
    assert (context.actor, context.claimed, context.session_user) == (expected, True, APPLICATION)


@pytest.mark.django_db(transaction=True)
def test_a_member_of_the_consoles_role_speaks_for_it_another_superuser_does_not(
    execute: Execute,
) -> None:
    with application_session("custody_test_superuser", "SUPERUSER") as other:
        other.execute('SELECT custody.audit_context(\'{"actor": "console:ada"}\')')
    role_made("custody_test_member")
    [(console,)] = execute("SELECT quote_ident(session_user)")
    with application_session("custody_test_superuser") as other:
        other.execute(f"GRANT {console} TO custody_test_member")
    with application_session("custody_test_member") as member:
        member.execute('SELECT custody.audit_context(\'{"actor": "console:ada"}\')')
    assert list(
        ChangeContext.objects.order_by("id").values_list("session_user", "actor", "claimed")
    ) == [
        ("custody_test_superuser", "app:console:ada", True),
        ("custody_test_member", "console:ada", False),
    ]


@pytest.mark.django_db(transaction=True)
def test_the_application_calls_what_is_its_own_and_nothing_else(execute: Execute) -> None:
    with application_session() as application:
        with application.transaction():
            application.execute("SELECT custody.set_context(\"user\" => '1', reason => 'r')")
            [text] = application.execute("SELECT current_setting('custody.context')").fetchone()  # type: ignore[misc]
            assert json.loads(text) == {"actor": "app:1", "user_id": "1", "reason": "r"}
            application.execute("SELECT custody.clear_context()")
        for call in (
            "audit_context('{}')",
            "audit_context_read('{}')",
            "audit_reason_missing('{}')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                application.execute(f"SELECT custody.{call}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("SELECT FROM custody.auditing_changecontext")


@pytest.mark.django_db(transaction=True)
def test_the_applications_own_sql_knows_whose_change_it_is(execute: Execute) -> None:
    with application_session() as application, application.transaction():

        def user() -> str | None:
            return application.execute("SELECT custody.context_user()").fetchone()[0]  # type: ignore[index]

        assert user() is None
        application.execute("SELECT custody.set_context('42')")
        assert user() == "42"
        application.execute("SELECT custody.set_context(reason => 'r')")
        assert user() is None
        for strange in ("no json", "[1]", '{"user_id": null}'):
            application.execute("SELECT set_config('custody.context', %s, true)", [strange])
            assert user() is None


@pytest.mark.django_db
def test_a_reason_is_text_that_is_not_blank(execute: Execute) -> None:
    def missing(context: str | None) -> bool:
        return execute("SELECT custody.audit_reason_missing(%s)", [context])[0][0]

    without = (None, "", "no json", "{}", "[]", '{"reason": null}', '{"reason": "  "}')
    assert [missing(context) for context in without] == [True] * len(without)
    assert not missing('{"reason": "Asked for"}')


@pytest.mark.django_db
def test_a_search_path_of_the_caller_changes_nothing(execute: Execute) -> None:
    execute("CREATE SCHEMA trap")
    execute(
        "CREATE FUNCTION trap.pg_current_xact_id() RETURNS text LANGUAGE sql AS $$ SELECT '1' $$"
    )
    execute("SET LOCAL search_path = trap, pg_catalog")
    [(xid,)] = execute("SELECT pg_catalog.pg_current_xact_id()::text::bigint")
    [(made,)] = execute("SELECT custody.audit_context('{}')")
    execute("SET LOCAL search_path = custody")
    assert ChangeContext.objects.get(pk=made).xid == xid
