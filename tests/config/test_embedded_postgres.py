"""What the embedded PostgreSQL is for those who use it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from config.embedded import EmbeddedError, EmbeddedPostgres

from .embedded_place import SETTINGS, Place, kill, wait_until


def show(server: EmbeddedPostgres, name: str) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT pg_catalog.current_setting(%s)", [name]).fetchone()
    assert row
    return str(row[0])


def test_the_first_hold_makes_the_database_and_everybody_reaches_it_by_its_url(
    new_place: Place,
) -> None:
    server = EmbeddedPostgres(new_place.folder)
    url = server.url
    assert not server.running()
    server.hold()
    try:
        assert server.running()
        assert server.url == url == EmbeddedPostgres(new_place.folder).url
        assert conninfo_to_dict(url) == server.conninfo()
        answer = subprocess.run(
            [server.bin / "psql", url, "-AtX", "-F", " ", "-c", FACTS],
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.split() == ["custody", "custody", "t", "UTF8", "b", "C.UTF-8", "on"]
        assert new_place.folder.joinpath("log", "server.log").stat().st_size
    finally:
        server.release()
    assert not server.running()
    assert new_place.servers() == []


FACTS = """
SELECT current_database(), current_user, usesuper, pg_encoding_to_char(encoding),
       datlocprovider, datlocale, current_setting('data_checksums')
FROM pg_catalog.pg_database, pg_catalog.pg_user
WHERE datname = current_database() AND usename = current_user
"""


def test_it_listens_to_nothing_but_a_socket_in_a_private_folder(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.hold()
    assert show(postgres, "listen_addresses") == ""
    folder = Path(postgres.conninfo()["host"])
    assert folder.parent == postgres.folder
    assert folder.stat().st_mode & 0o777 == 0o700


def test_it_is_configured_for_recovery_to_a_point_in_time(postgres: EmbeddedPostgres) -> None:
    postgres.hold()
    names = ["wal_level", "archive_mode", "archive_command", "summarize_wal", "TimeZone"]
    assert [show(postgres, name) for name in names] == ["replica", "on", "true", "on", "UTC"]
    assert show(postgres, "track_commit_timestamp") == "on"


def test_settings_apply_from_the_next_start_and_alter_system_goes_before_them(
    place: Place,
) -> None:
    first = EmbeddedPostgres(place.folder, settings={**SETTINGS, "work_mem": "7MB"})
    first.hold()
    assert show(first, "work_mem") == "7MB"
    first.release()
    odd = {**SETTINGS, "work_mem": "9MB", "custody.note": r"it's a \ backslash"}
    second = EmbeddedPostgres(place.folder, settings=odd)
    second.hold()
    assert show(second, "work_mem") == "9MB"
    assert show(second, "custody.note") == r"it's a \ backslash"
    with psycopg.connect(second.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET work_mem = '11MB'")
    second.release()
    second.hold()
    assert show(second, "work_mem") == "11MB"
    second.release()


@pytest.mark.parametrize("wanted", [{"port": "1"}, {"x = 1\ny": "2"}, {"listen_addresses": "*"}])
def test_settings_that_would_break_it_are_refused(place: Place, wanted: dict[str, str]) -> None:
    with pytest.raises(EmbeddedError, match="is no setting"):
        EmbeddedPostgres(place.folder, settings=wanted).hold()
    assert place.servers() == []


def test_a_server_that_does_not_start_says_why_and_where_its_log_is(place: Place) -> None:
    server = EmbeddedPostgres(place.folder, settings={"no_such_setting": "1"})
    with pytest.raises(EmbeddedError) as caught:
        server.hold()
    message = str(caught.value)
    assert "no_such_setting" in message
    assert str(place.folder / "log" / "server.log") in message
    assert "DATABASE_URL" in message
    assert "\n" not in message
    assert list((place.folder / "handles").iterdir()) == []


def test_data_of_another_major_version_is_refused_and_left_alone(new_place: Place) -> None:
    older = EmbeddedPostgres(new_place.folder, version=16, settings=SETTINGS, sync=False)
    older.hold()
    assert show(older, "server_version").startswith("16.")
    assert show(older, "data_checksums") == "on"
    older.release()
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 16 .* by 18"):
        EmbeddedPostgres(new_place.folder).hold()
    older.hold()
    older.release()


def test_a_version_that_no_wheel_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="no embedded PostgreSQL 9"):
        _ = EmbeddedPostgres(tmp_path, version=9).bin


def test_a_folder_that_holds_something_else_is_refused(new_place: Place) -> None:
    (new_place.folder / "data").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match="no PostgreSQL data folder"):
        EmbeddedPostgres(new_place.folder).hold()


def test_a_dropped_database_is_made_again_by_the_next_hold_and_by_every_start(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.hold()
    for _ in range(6):
        with psycopg.connect(**postgres.conninfo("postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE custody")
        postgres.hold()
        with psycopg.connect(**postgres.conninfo("postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE custody")
        postgres.release()
        postgres.hold()
        assert show(postgres, "wal_level") == "replica"


def test_the_environment_of_the_console_does_not_reach_the_server(
    postgres: EmbeddedPostgres, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("SECRET_KEY", "do not tell")
    postgres.hold()
    (master,) = place.masters()
    environment = Path(f"/proc/{master}/environ").read_bytes()
    assert b"PGDATA" not in environment
    assert b"SECRET_KEY" not in environment


def test_an_initdb_killed_half_way_leaves_nothing_in_the_way(new_place: Place) -> None:
    user = new_place.user()
    user.tell("hold")
    wait_until(lambda: bool(new_place.servers()))
    os.killpg(user.process.pid, signal.SIGKILL)
    user.kill()
    kill(new_place.servers())
    assert not (new_place.folder / "data").exists()
    assert list(new_place.folder.glob("data.init-*"))
    again = new_place.user()
    again.do("hold")
    assert not list(new_place.folder.glob("data.init-*"))
    again.leave()
