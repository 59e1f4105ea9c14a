"""What somebody changes through the console has their name, address, browser, number and reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path, reverse
from pytest_django import Settings

from auditing.client_address import client_address
from auditing.middleware import IMPERSONATOR_KEY
from auditing.models import ChangeContext
from operations.models import Run
from operations.services.runs import run_create
from retention.models import RetentionPolicy
from tests.console import make_policy, person, signed_in
from tests.retention.proposing import NEW, make_tickets, officer, propose

from .capturing import Sent, captured_table, insert, run, seen

ROOT = Path(__file__).resolve().parents[2]


def change(request: HttpRequest) -> HttpResponse:
    insert(int(request.GET["id"]))
    return HttpResponse("changed")


def look(request: HttpRequest) -> HttpResponse:
    run("SELECT FROM app.thing")
    return HttpResponse(str(request.user))


urlpatterns = [path("change", change), path("look", look)]


@pytest.fixture
def thing(transactional_db: None, settings: Settings) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    with captured_table():
        yield


@pytest.fixture
def ada(transactional_db: None) -> User:
    return person("ada", email="ada@example.org")


def only() -> ChangeContext:
    [(_, context)] = seen()
    assert context
    return context


def test_a_change_tells_who_from_where_and_why(thing: None, ada: User) -> None:
    answer = signed_in(ada).post(
        "/change?id=1",
        {"reason": "  Asked for by the customer "},
        headers={"User-Agent": "Browser/1", "X-Request-ID": "proxy:17"},
        REMOTE_ADDR="192.0.2.7",
    )
    assert answer["X-Request-ID"] == "proxy:17"
    context = only()
    assert (
        context.actor,
        context.user_id,
        context.user_email,
        context.impersonator,
        context.reason,
        context.ip_address,
        context.user_agent,
        context.request_id,
        context.claimed,
        context.extra,
    ) == (
        "console:ada",
        str(ada.pk),
        "ada@example.org",
        "",
        "Asked for by the customer",
        "192.0.2.7",
        "Browser/1",
        "proxy:17",
        False,
        {},
    )


def test_who_only_looks_says_nothing_and_nobody_is_looked_up(thing: None, ada: User) -> None:
    client = signed_in(ada)
    with Sent() as sent:
        assert client.get("/look").text == "ada"
    assert sent.times == 0
    assert not ChangeContext.objects.exists()


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "é", "a\x00b", "<script>"])
def test_a_strange_request_number_is_replaced(thing: None, ada: User, given: str) -> None:
    answer = signed_in(ada).post("/change?id=1", HTTP_X_REQUEST_ID=given)
    made = answer["X-Request-ID"]
    assert made != given
    assert len(made) == 32
    assert only().request_id == made


def test_somebody_unknown_changes_something_without_a_name(thing: None) -> None:
    Client().post("/change?id=1", HTTP_USER_AGENT="bad\x00agent" + "x" * 2_000)
    context = only()
    [(role,)] = fetched("SELECT session_user::text")
    assert context.actor == f"db:{role}"
    assert context.user_agent == ("bad?agent" + "x" * 2_000)[:1_000]


def test_who_acts_as_somebody_else_is_named_beside_them(thing: None, ada: User) -> None:
    client = signed_in(ada)
    session = client.session
    session[IMPERSONATOR_KEY] = "eve"
    session.save()
    client.post("/change?id=1")
    assert (only().actor, only().impersonator) == ("console:ada", "console:eve")


def test_an_impersonating_middleware_says_it_on_the_request(
    thing: None, ada: User, settings: Settings
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:-1], f"{__name__}.impersonating",
                           settings.MIDDLEWARE[-1]]  # fmt: skip
    person("eve")
    signed_in(ada).post("/change?id=1")
    assert (only().actor, only().impersonator) == ("console:ada", "console:eve")


def impersonating(get_response: Any) -> Any:
    """As such packages do it: the request's user is not who signed in."""

    def answer(request: Any) -> Any:
        request.impersonator = User.objects.get(username="eve")
        return get_response(request)

    return answer


@pytest.mark.django_db(transaction=True)
def test_a_decision_in_the_console_has_the_reason_that_was_typed(ada: User) -> None:
    policy: RetentionPolicy = make_policy()
    ada.is_superuser = True
    ada.save()
    with captured_table():
        run("CREATE TABLE app.events (id int PRIMARY KEY, created_at timestamptz)")
        run("INSERT INTO app.events VALUES (1, '2020-01-01')")
        made = run_create(kind="purge", parameters={"policy": policy.pk}, requester=ada)
        run(
            "CREATE TRIGGER capture AFTER INSERT OR UPDATE ON custody.operations_run"
            " FOR EACH STATEMENT EXECUTE FUNCTION app.capture()"
        )
        signed_in(ada).post(
            reverse("admin:operations_run_decide", args=[made.pk, "pause"]),
            {"reason": "The shop is closing its books"},
        )
        assert Run.objects.get(pk=made.pk).state == "paused"
        assert {(c.actor, c.reason) for _, c in seen() if c} == {
            ("console:ada", "The shop is closing its books")
        }


@pytest.mark.django_db(transaction=True)
def test_a_policy_that_is_reviewed_first_has_the_reason_of_its_form() -> None:
    make_tickets()
    with captured_table():
        run(
            "CREATE TRIGGER capture AFTER INSERT OR UPDATE ON custody.retention_retentionpolicy"
            " FOR EACH STATEMENT EXECUTE FUNCTION app.capture()"
        )
        propose(officer(), NEW, reason="The new schedule")
        run("DROP SCHEMA desk CASCADE")
        assert {(c.actor, c.reason) for _, c in seen() if c} == {
            ("console:officer", "The new schedule")
        }


TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("127.0.0.1")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "unknown, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db9::1]:4711", "2001:db9::1"),
        ("2001:db8::5", "2001:db9::1", "2001:db9::1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("fe80::1%eth0", "198.51.100.1", "fe80::1"),
        ("", "198.51.100.1", ""),
        ("no address", "198.51.100.1", ""),
    ],
)
def test_an_address_is_believed_as_far_as_our_own_proxies_wrote_it(
    peer: str, forwarded: str, client: str
) -> None:
    meta = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert client_address(meta, TRUSTED) == client


def test_a_proxy_that_comes_through_a_socket_file_has_no_address() -> None:
    meta = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "203.0.113.9, 198.51.100.1, 10.0.0.2"}
    assert client_address(meta, TRUSTED, by_socket=True) == "198.51.100.1"
    assert client_address({"REMOTE_ADDR": ""}, TRUSTED, by_socket=True) == ""
    direct = {"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": "198.51.100.1"}
    assert client_address(direct, [], by_socket=True) == "192.0.2.7"


@pytest.mark.parametrize(
    ("given", "networks", "socket"),
    [
        ("", [], False),
        ("127.0.0.1, 10.1.2.3/8", ["127.0.0.1/32", "10.0.0.0/8"], False),
        ("unix,::1", ["::1/128"], True),
    ],
)
def test_the_setting_takes_addresses_networks_and_sockets(
    given: str, networks: list[str], socket: bool
) -> None:
    found = settings_with(given).stdout.split()
    assert found == [*networks, str(socket)]


def test_a_wrong_network_is_said_at_the_start() -> None:
    done = settings_with("10.0.0.0/99")
    assert done.returncode != 0
    assert "CUSTODY_TRUSTED_PROXIES: '10.0.0.0/99' does not appear" in done.stderr


def settings_with(proxies: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import config.settings.custody as c;"
        "print(*c.CUSTODY_TRUSTED_PROXIES, c.CUSTODY_TRUSTED_SOCKET)"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CUSTODY_TRUSTED_PROXIES": proxies},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_trusted_proxies_the_header_means_nothing(
    thing: None, ada: User, settings: Settings
) -> None:
    client = signed_in(ada)
    client.post("/change?id=1", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.1")
    settings.CUSTODY_TRUSTED_PROXIES = TRUSTED
    client.post("/change?id=2", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert [context.ip_address for _, context in seen() if context] == [
        "10.0.0.1",
        "198.51.100.1",
    ]


def fetched(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
