"""What a command or a worker changes says for whom: the context goes along with the task."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from kombu import Connection

from auditing.context import Acting, acting, acting_now
from auditing.task_headers import _said
from config.celery import app
from config.embedded import EmbeddedBroker
from operations.commands import CustodyCommand, Result
from operations.models import Run
from operations.runs.states import RunState
from operations.services.actors import login_name
from operations.services.run_execute import run_execute
from operations.services.runs import run_create
from tests.operations import slow_kind
from tests.operations.workers import Workshop, wait_until

from .capturing import captured_table, insert, run, seen

assert slow_kind


@pytest.fixture(autouse=True)
def thing(transactional_db: None) -> Iterator[None]:
    with captured_table():
        yield


def capture(table: str) -> None:
    run(
        f"CREATE TRIGGER capture AFTER INSERT OR UPDATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION app.capture()"
    )


def contexts() -> list[dict[str, Any]]:
    """What differs from one captured context to the next, each once."""
    names = ("actor", "user_id", "reason", "ip_address", "user_agent", "request_id", "extra")
    found = [{name: getattr(each, name) for name in names} for _, each in seen() if each]
    return [each for at, each in enumerate(found) if each not in found[:at]]


class Changing(CustodyCommand):
    changes = True

    def work(self, **options: Any) -> Result:
        insert(1)
        self.actor(options)
        insert(2)
        return Result({"acting": acting_now().extra})  # type: ignore[union-attr]


def call(*arguments: str) -> Any:
    command = Changing(stdout=io.StringIO())
    parsed = command.create_parser("manage.py", "changing").parse_args([*arguments, "--json"])
    command.handle(**vars(parsed))
    return json.loads(command.stdout.getvalue())  # type: ignore[attr-defined]


def test_a_command_tells_who_and_why(person: User) -> None:
    assert call("--user", "ada", "--reason", "Books") == {
        "acting": {"command": "test_context_workers"}
    }
    said = [(c.actor, c.user_id, c.reason) for _, c in seen() if c]
    assert said == [("console:ada", "", "Books"), ("console:ada", str(person.pk), "Books")]
    assert acting_now() is None


def test_a_command_without_a_user_is_its_login(db: None) -> None:
    call()
    assert {c.actor for _, c in seen() if c} == {f"console:{login_name()}"}


def test_a_command_that_fails_leaves_nothing_said(db: None) -> None:
    with pytest.raises(CommandError, match="nobody"):
        call("--user", "nobody")
    assert acting_now() is None


def test_a_run_is_worked_on_for_who_asked_for_it(person: User) -> None:
    run("CREATE TABLE app.counted (number int)")
    capture("app.counted")
    made = slow_run(person)
    with acting(actor="console:bob", ip_address="192.0.2.1", request_id="req-5", reason="other"):
        run_execute(run_id=made.pk)
        assert acting_now().actor == "console:bob"  # type: ignore[union-attr]
    assert contexts() == [of_run(made, person, request_id="req-5")]


def slow_run(person: User) -> Run:
    parameters = {"steps": 2, "seconds": 0}
    return run_create(kind="slow", parameters=parameters, requester=person, reason="Counting")


def of_run(made: Run, person: User, *, request_id: str) -> dict[str, Any]:
    return {
        "actor": "console:ada",
        "user_id": str(person.pk),
        "reason": "Counting",
        "ip_address": None,
        "user_agent": "",
        "request_id": request_id,
        "extra": {"run": made.pk},
    }


def test_a_task_carries_it_to_the_worker(person: User, tmp_path: Path) -> None:
    run("CREATE TABLE app.counted (number int)")
    broker = EmbeddedBroker(tmp_path / "broker")
    broker.hold()
    shop = Workshop(broker, tmp_path)
    try:
        made = slow_run(person)
        capture("app.counted")
        shop.worker()
        with acting(actor="console:bob", reason="woken by bob", request_id="req-6"):
            shop.send("operations.run_execute", run_id=made.pk)
        wait_until(lambda: Run.objects.get(pk=made.pk).current is RunState.SUCCEEDED, "ended")
        assert contexts() == [of_run(made, person, request_id="req-6")]

        run("DROP TRIGGER capture ON app.counted; TRUNCATE app.seen")
        capture("custody.operations_jobrequest")
        capture("custody.operations_heartbeat")
        with acting(actor="console:bob", user_id="3", reason="by hand", ip_address="192.0.2.1",
                    extra={"ticket": 5}):  # fmt: skip
            shop.send("operations.heartbeat_record")
        wait_until(contexts, "the first task")
        shop.send("operations.heartbeat_record")
        wait_until(lambda: len(contexts()) == 2, "the second task")
    finally:
        shop.close()
        broker.release()
    nothing = {"user_id": "", "reason": "", "ip_address": None, "user_agent": "", "request_id": ""}
    task = {"task": "operations.heartbeat_record"}
    assert contexts() == [
        {**nothing, "actor": "console:bob", "user_id": "3", "reason": "by hand",
         "ip_address": "192.0.2.1", "extra": {"ticket": 5, **task}},
        {**nothing, "actor": "console:scheduler", "extra": task},
    ]  # fmt: skip


@pytest.mark.parametrize("header", [None, "", "no json", "[1]", 5, '"text"'])
def test_whatever_the_broker_brings_the_task_is_done(header: Any) -> None:
    assert _said(header, "some.task") == Acting(
        actor="console:scheduler", extra={"task": "some.task"}
    )


def test_what_is_strange_in_a_header_is_left_out() -> None:
    header = '{"actor": 5, "surprise": 1, "extra": "none"}'
    assert _said(header, "t") == Acting(actor="5", extra={"task": "t"})


def test_a_task_without_context_sends_no_header() -> None:
    sent: list[dict[str, Any]] = []
    with Connection("memory://") as link:
        for context in (None, {"actor": "console:ada"}):
            options: dict[str, Any] = {"connection": link, "ignore_result": True}
            if context is None:
                app.send_task("some.task", **options)
            else:
                with acting(**context):
                    app.send_task("some.task", **options)
        queue = link.SimpleQueue("custody")
        sent = [queue.get(timeout=5).headers for _ in range(2)]
        queue.close()
    assert "custody_context" not in sent[0]
    assert json.loads(sent[1]["custody_context"]) == {"actor": "console:ada"}
