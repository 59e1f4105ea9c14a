"""Real servers in temporary folders, stopped and gone after every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.embedded import EmbeddedPostgres

from .embedded_place import SETTINGS, Place, copy, kill


@pytest.fixture
def new_place(tmp_path: Path) -> Iterator[Place]:
    """A place where nothing has been yet; after the test no server may be left in it."""
    place = Place(tmp_path / "server")
    yield place
    place.clean()
    left = place.servers()
    kill(left)
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which PostgreSQL has been started and stopped once."""
    folder = tmp_path_factory.mktemp("made") / "server"
    server = EmbeddedPostgres(folder, settings=SETTINGS, sync=False)
    server.hold()
    server.release()
    return folder


@pytest.fixture
def place(new_place: Place, made: Path) -> Place:
    """A place with a stopped PostgreSQL."""
    copy(made, new_place.folder)
    return new_place


@pytest.fixture
def postgres(place: Place) -> Iterator[EmbeddedPostgres]:
    """The PostgreSQL of the place, used by this process when it holds it."""
    server = EmbeddedPostgres(place.folder, settings=SETTINGS, sync=False)
    yield server
    place.clean()
    if server.running():
        # Left by processes that were just killed.
        server.hold()
    server.release()
