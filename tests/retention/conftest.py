"""Workers that can be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from psycopg.conninfo import make_conninfo

from .crash import Nursery


def database_url() -> str:
    """Of the test's own database."""
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return make_conninfo("", **{name: parameters[name] for name in names if parameters.get(name)})


@pytest.fixture
def nursery(transactional_db: None, tmp_path: Path) -> Iterator[Nursery]:
    made = Nursery(tmp_path, database_url())
    yield made
    made.close()
