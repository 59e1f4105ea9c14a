"""Fixtures of all tests: storage and keys of their own, a governed table, a person who acts."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker, Settings

from . import effort, environment, order, resetting
from .s3_server import S3Server

effort.repeatable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    effort.leave_out_combinations(items)
    order.longest_first(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    # What stands by now stands till the end: the collector need not walk through it a thousand
    # times, nor look for circles as often as in a program of little memory.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if environment.is_plain() and item.get_closest_marker("superuser"):
        pytest.skip("needs a superuser, or a server of its own")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """After it, a test that commits is undone by `resetting`, where the role may."""
    with django_db_blocker.unblock():
        baseline = _BASELINES[0] = resetting.baseline_take()
    if baseline is None:
        yield
        return

    def restore(case: TransactionTestCase) -> None:
        baseline.restore()

    TransactionTestCase._fixture_teardown = restore
    yield
    baseline.close()


_BASELINES: list[resetting.Baseline | None] = [None]
"""Of this process."""


@pytest.fixture(autouse=True)
def own_settings(settings: Settings, tmp_path: Path) -> None:
    """Storage and keys of one test are nobody else's, and passwords cost no time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CUSTODY_STORAGE = tmp_path / "storage"
    settings.CUSTODY_KEYS = tmp_path / "keys"
    settings.CUSTODY_ANCHORS = tmp_path / "anchors"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server that speaks S3, for those who need it."""
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_user("ada", password="a long enough password", is_staff=True)


@pytest.fixture
def execute() -> Callable[..., list[tuple[Any, ...]]]:
    """Runs SQL on the test's own connection; returns the rows, if any."""

    def run(query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    return run


_CLEAR = """
DO $block$
DECLARE
    statement text;
BEGIN
    DROP SCHEMA IF EXISTS app CASCADE;
    FOREACH statement IN ARRAY ARRAY(
        SELECT format('DROP %s IF EXISTS %s CASCADE', x.kind, x.name) FROM (
            SELECT 'FUNCTION' AS kind, p.oid::regprocedure::text AS name FROM pg_proc p
            WHERE p.pronamespace = 'history'::regnamespace
            UNION ALL
            SELECT 'TABLE', format('history.%I', c.relname) FROM pg_class c
            WHERE c.relnamespace = 'history'::regnamespace AND c.relkind IN ('r', 'p')
              AND NOT c.relispartition) x)
    LOOP
        EXECUTE statement;
    END LOOP;
END
$block$
"""


@pytest.fixture
def governed(
    transactional_db: None, execute: Callable[..., list[tuple[Any, ...]]]
) -> Iterator[str]:
    """An empty schema of a governed application, gone after the test with its history."""
    baseline = _BASELINES[0]

    def clear() -> None:
        if baseline is None:
            execute(_CLEAR)
        else:
            baseline.session().execute(_CLEAR)

    clear()
    execute("CREATE SCHEMA app")
    yield "app"
    connection.close()
    clear()


@pytest.fixture
def other_session() -> Iterator[Callable[[], psycopg.Connection]]:
    """Makes further connections to the test's database, as the application would have."""
    made: list[psycopg.Connection] = []

    def connect() -> psycopg.Connection:
        parameters = connection.get_connection_params()
        parameters.pop("cursor_factory", None)
        parameters.pop("context", None)
        made.append(psycopg.connect(**parameters, autocommit=True))
        return made[-1]

    yield connect
    for session in made:
        session.close()
