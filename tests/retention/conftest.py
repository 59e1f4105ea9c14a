"""Workers that can be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from psycopg.conninfo import make_conninfo
from pytest_django import Settings

from retention.services import purge
from tests.console import person
from tests.s3_server import S3Server

from . import binned, binning
from .crash import Nursery
from .s3_bucket import Buckets
from .writing import Writer, stop


def database_url() -> str:
    """Of the test's own database."""
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return make_conninfo("", **{name: parameters[name] for name in names if parameters.get(name)})


@pytest.fixture(scope="session")
def one_nursery(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nursery]:
    made = Nursery(tmp_path_factory.mktemp("workers"), database_url())
    yield made
    made.close()


@pytest.fixture
def nursery(transactional_db: None, one_nursery: Nursery) -> Iterator[Nursery]:
    yield one_nursery
    one_nursery.kill()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small table takes many steps."""
    monkeypatch.setattr(purge, "_PAGES", (2, 1, 2))
    monkeypatch.setattr(purge, "_KEYS", (100, 1, 100))


@pytest.fixture
def bin_shop(governed: str, execute: Callable[..., list[tuple[Any, ...]]]) -> None:
    """Users, orders and lines with soft delete, of whom half are past their term."""
    binned.make_shop(execute)


@pytest.fixture
def sue(governed: str, execute: Callable[..., list[tuple[Any, ...]]]) -> User:
    """Of support, beside a shop whose customers have a bin."""
    binning.make_shop(execute)
    return person("sue", role="support")


@pytest.fixture(params=[(2_000, 1, 200_000), (4, 1, 4)], ids=["whole", "sliced"])
def bin_sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps in which many records fit, and steps in which not even one does."""
    monkeypatch.setattr(purge, "_RECORDS", request.param)


@pytest.fixture
def writers(
    other_session: Callable[[], psycopg.Connection],
) -> Iterator[Callable[[], list[Writer]]]:
    made: list[Writer] = []

    def start() -> list[Writer]:
        made.extend(Writer(other_session(), seed) for seed in (1, 2))
        for writer in made:
            writer.start()
        return made

    yield start
    stop(made)


@pytest.fixture
def buckets(settings: Settings, s3_server: S3Server) -> Iterator[Buckets]:
    made = Buckets(settings, s3_server)
    yield made
    made.close()
