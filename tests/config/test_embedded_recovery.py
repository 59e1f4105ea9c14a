"""Whatever was killed, the next hold finds the data and one server."""

from __future__ import annotations

import os
import signal
import subprocess
import threading

import psycopg
import pytest

from config.embedded import EmbeddedPostgres
from config.embedded import server as life

from .embedded_place import Place, kill, wait_until


def write(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")


def assert_kept(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT sum(n) FROM kept").fetchone() == (500500,)


def test_after_kill_9_of_everything_the_data_is_there(
    postgres: EmbeddedPostgres, place: Place
) -> None:
    users = [place.user(), place.user()]
    for user in users:
        user.do("hold")
    write(postgres)
    for user in users:
        user.kill()
    kill(place.servers())
    assert (place.folder / "data" / "postmaster.pid").exists()
    assert not postgres.running()

    after = [place.user() for _ in range(3)]
    for user in after:
        user.tell("hold")
    for user in after:
        assert user.hear() == {"answer": None}
    assert len(place.masters()) == 1
    assert_kept(postgres)


def test_a_pid_that_another_process_has_by_now_is_no_server(
    postgres: EmbeddedPostgres, place: Place
) -> None:
    postgres.hold()
    write(postgres)
    kill(place.servers())
    owner = (place.folder / "data").stat()
    with subprocess.Popen(["sleep", "60"], user=owner.st_uid, group=owner.st_gid) as other:
        for path in (place.folder / "data" / "postmaster.pid", place.folder / "server.pid"):
            lines = path.read_text().split("\n")
            path.write_text("\n".join([str(other.pid), *lines[1:]]))
        lock = place.folder / "run" / ".s.PGSQL.5432.lock"
        lock.write_text("\n".join([str(other.pid), *lock.read_text().split("\n")[1:]]))
        postgres.hold()
        assert_kept(postgres)
        postgres.release()
        assert other.poll() is None
        other.kill()
    assert place.servers() == []


def test_after_kill_9_of_the_programs_the_server_is_adopted_and_stopped_at_last(
    place: Place,
) -> None:
    killed, user = place.user(), place.user()
    killed.do("hold")
    (server,) = place.masters()
    killed.kill()
    user.do("hold")
    assert place.masters() == [server]
    user.leave()
    assert place.servers() == []


@pytest.mark.parametrize("by", ["another process", "the same process"])
def test_after_kill_9_of_the_server_the_next_hold_starts_it(
    postgres: EmbeddedPostgres, place: Place, by: str
) -> None:
    postgres.hold()
    write(postgres)
    killed = place.masters()
    kill(place.servers())
    if by == "another process":
        place.user().do("hold")
    else:
        postgres.hold()
    assert len(place.masters()) == 1
    assert place.masters() != killed
    assert_kept(postgres)


def test_what_an_orphaned_backend_still_does_is_ended_before_the_server_starts(
    postgres: EmbeddedPostgres, place: Place
) -> None:
    postgres.hold()
    write(postgres)
    busy = psycopg.connect(postgres.url)
    backend = busy.info.backend_pid
    query = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b"

    def work() -> None:
        with pytest.raises(psycopg.OperationalError):
            busy.execute(query)

    worker = threading.Thread(target=work)
    worker.start()
    with psycopg.connect(postgres.url, autocommit=True) as watch:
        active = "SELECT state = 'active' FROM pg_catalog.pg_stat_activity WHERE pid = %s"
        wait_until(lambda: watch.execute(active, [backend]).fetchone() == (True,))
    kill(place.masters())
    assert backend in place.servers()
    postgres.hold()
    worker.join(timeout=30)
    assert backend not in place.servers()
    assert_kept(postgres)
    busy.close()


def test_an_empty_lock_file_is_not_taken_for_a_server(
    postgres: EmbeddedPostgres, place: Place
) -> None:
    postgres.hold()
    write(postgres)
    kill(place.servers())
    (place.folder / "data" / "postmaster.pid").write_text("")
    postgres.hold()
    assert_kept(postgres)


def test_a_server_that_is_started_while_its_starter_is_killed_is_the_only_one(
    place: Place,
) -> None:
    for _ in range(3):
        starter = place.user()
        starter.tell("hold")
        wait_until((place.folder / "server.pid").exists)
        starter.kill()
        user = place.user()
        user.do("hold")
        assert len(place.masters()) == 1
        user.leave()
        assert place.servers() == []


def test_a_server_whose_socket_was_removed_is_started_again(
    postgres: EmbeddedPostgres, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "LOST", 0.2)
    postgres.hold()
    write(postgres)
    (place.folder / "run" / ".s.PGSQL.5432").unlink()
    assert not postgres.running()
    postgres.hold()
    assert len(place.masters()) == 1
    assert_kept(postgres)


def test_a_full_server_is_running(place: Place) -> None:
    small = {"max_connections": "5", "superuser_reserved_connections": "0", "max_wal_senders": "0"}
    server = EmbeddedPostgres(place.folder, settings={**small, "fsync": "off"})
    server.hold()
    open_ones = [psycopg.connect(server.url) for _ in range(5)]
    with pytest.raises(psycopg.OperationalError, match="too many"):
        psycopg.connect(server.url)
    assert server.running()
    server.hold()
    for one in open_ones:
        one.close()
    server.release()


def test_a_data_folder_removed_under_a_server_is_made_anew(
    postgres: EmbeddedPostgres, place: Place
) -> None:
    user = place.user()
    user.do("hold")
    old = place.masters()
    subprocess.run(["rm", "-rf", str(place.folder)], check=True)
    user.do("hold")
    assert place.masters() != old
    assert user.do("running")
    postgres.hold()
    user.leave()
    assert postgres.running()
    kill(old)


def test_a_program_stopped_by_sigterm_leaves_a_server_that_the_next_one_stops(
    place: Place,
) -> None:
    user = place.user()
    user.do("hold")
    os.kill(user.process.pid, signal.SIGTERM)
    user.process.wait()
    after = place.user()
    after.do("hold")
    after.leave()
    assert place.servers() == []
