"""Where the socket is, and that nobody else can put one in its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.embedded import EmbeddedBroker, EmbeddedError, EmbeddedPostgres

from .embedded_place import SETTINGS, Place, copy, servers


@pytest.fixture
def deep(made: Path, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL whose folder has a path too long for a socket."""
    folder = tmp_path / ("long" * 20) / "server"
    folder.parent.mkdir()
    copy(made, folder)
    server = EmbeddedPostgres(folder, settings=SETTINGS)
    yield server
    server.release()
    assert servers(folder) == []
    if server.socket_folder.is_dir() and not server.socket_folder.is_symlink():
        shutil.rmtree(server.socket_folder)


def test_a_path_too_long_for_a_socket_gets_a_short_private_folder(deep: EmbeddedPostgres) -> None:
    short = Path(deep.conninfo()["host"])
    assert short == Path(EmbeddedPostgres(deep.folder).conninfo()["host"])
    assert len(str(short)) < 60
    assert short != Path(EmbeddedPostgres(deep.folder.with_name("x")).conninfo()["host"])
    deep.hold()
    assert short.stat().st_mode & 0o777 == 0o700
    assert deep.running()
    deep.release()
    assert not short.exists()


@pytest.mark.parametrize("trap", ["link", "open to others", "file"])
def test_a_short_folder_that_someone_else_prepared_is_refused(
    deep: EmbeddedPostgres, tmp_path: Path, trap: str
) -> None:
    short = Path(deep.conninfo()["host"])
    if trap == "link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        short.symlink_to(tmp_path / "theirs")
    elif trap == "file":
        short.write_text("")
    else:
        short.mkdir()
        short.chmod(0o777)
    try:
        with pytest.raises(EmbeddedError, match="belongs to someone else or is open"):
            deep.hold()
        assert not deep.running()
    finally:
        short.rmdir() if short.is_dir() and not short.is_symlink() else short.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of someone else")
def test_a_short_folder_of_someone_else_is_refused(deep: EmbeddedPostgres) -> None:
    short = Path(deep.conninfo()["host"])
    short.mkdir(mode=0o700)
    os.chown(short, 12345, 12345)
    try:
        with pytest.raises(EmbeddedError, match="belongs to someone else"):
            deep.hold()
    finally:
        short.rmdir()


@pytest.mark.parametrize("name", ["a b", "a,b", "it's", 'say "x"', "50%", "é"])
def test_any_name_of_a_folder_serves(place: Place, name: str) -> None:
    place.folder = place.folder.rename(place.folder.with_name(name))
    server = EmbeddedPostgres(place.folder, settings=SETTINGS)
    server.hold()
    assert server.running()
    server.release()
    assert place.servers() == []


def test_two_servers_in_one_folder_of_the_console_do_not_meet(place: Place) -> None:
    postgres = EmbeddedPostgres(place.folder, settings=SETTINGS)
    broker = EmbeddedBroker(place.folder.with_name("broker"))
    postgres.hold()
    broker.hold()
    postgres.release()
    assert broker.running()
    broker.release()
    assert servers(place.folder.parent) == []
