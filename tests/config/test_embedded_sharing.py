"""Several processes share one server, and the last one to leave stops it."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from .embedded_place import Place, wait_until

KINDS = ["postgres", "broker"]


def handles(place: Place) -> list[Path]:
    return list((place.folder / "handles").iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_one_that_leaves_stops_it(place: Place, kind: str) -> None:
    place = fresh(place, kind)
    first, second = place.user(kind), place.user(kind)
    first.do("hold")
    second.do("hold")
    (server,) = place.masters()
    first.leave()
    assert place.masters() == [server]
    assert second.do("running")
    second.leave()
    assert place.servers() == []
    assert handles(place) == []


def test_who_comes_while_the_last_one_leaves_has_a_server_for_as_long_as_it_stays(
    place: Place,
) -> None:
    users = [place.user() for _ in range(9)]
    users[0].do("hold")
    for number, (leaving, coming) in enumerate(pairwise(users)):
        assert leaving.process.stdin
        leaving.process.stdin.close()
        # Before it stops the server, while it does, and after it.
        time.sleep(0.02 * number)
        coming.do("hold")
        assert coming.do("ask") == 1
        assert leaving.process.wait(timeout=60) == 0
        assert coming.do("ask") == 1
        assert len(place.masters()) == 1
    users[-1].leave()
    assert place.servers() == []


@pytest.mark.parametrize("kind", KINDS)
def test_ten_that_come_at_once_get_one_server_and_leave_none(place: Place, kind: str) -> None:
    place = fresh(place, kind)
    users = [place.user(kind) for _ in range(10)]
    for user in users:
        user.tell("hold")
    for user in users:
        assert user.hear() == {"answer": None}
    assert len(place.masters()) == 1
    assert len(handles(place)) == 10
    for user in users:
        assert user.process.stdin
        user.process.stdin.close()
    for user in users:
        assert user.process.wait(timeout=60) == 0
    assert place.servers() == []


def test_ten_that_come_at_once_to_an_empty_folder_make_one_data_folder(new_place: Place) -> None:
    users = [new_place.user() for _ in range(10)]
    for user in users:
        user.tell("hold")
    for user in users:
        assert user.hear() == {"answer": None}
    assert len(new_place.masters()) == 1
    for user in users:
        user.leave()


def test_holding_again_is_the_same_hold_and_releasing_ends_it(place: Place) -> None:
    user = place.user()
    user.do("hold")
    user.do("hold")
    assert len(handles(place)) == 1
    user.do("release")
    assert place.servers() == []
    user.do("release")
    user.do("hold")
    assert user.do("running")
    user.leave()
    assert place.servers() == []


def test_a_handle_whose_process_was_killed_does_not_keep_the_server(place: Place) -> None:
    killed, user = place.user(), place.user()
    killed.do("hold")
    user.do("hold")
    killed.kill()
    assert len(handles(place)) == 2
    user.leave()
    assert handles(place) == []
    assert place.servers() == []


def test_a_forked_child_counts_while_it_lives_and_stops_nothing_when_it_ends(
    place: Place,
) -> None:
    parent, other = place.user(), place.user()
    parent.do("hold")
    child = parent.do("fork")
    second = parent.do("fork")
    os.kill(second, signal.SIGTERM)
    wait_until(lambda: gone(second))
    assert parent.do("running")

    parent.leave()
    assert len(place.masters()) == 1
    other.do("hold")
    other.do("release")
    assert len(place.masters()) == 1

    other.do("hold")
    os.kill(child, signal.SIGTERM)
    wait_until(lambda: gone(child))
    assert other.do("running")
    other.leave()
    assert place.servers() == []


def test_a_forked_child_that_holds_for_itself_stops_the_server_when_it_is_the_last(
    place: Place,
) -> None:
    parent = place.user()
    parent.do("hold")
    child = parent.do("fork a holder")
    wait_until(lambda: len(handles(place)) == 2)
    parent.leave()
    assert len(place.masters()) == 1
    os.kill(child, signal.SIGTERM)
    wait_until(lambda: gone(child))
    assert place.servers() == []


def test_control_c_in_the_terminal_does_not_reach_the_server(place: Place) -> None:
    user, other = place.user(), place.user()
    user.do("hold")
    other.do("hold")
    (server,) = place.masters()
    assert os.getsid(server) == server
    os.killpg(user.process.pid, signal.SIGINT)
    user.process.wait()
    assert place.masters() == [server]
    assert other.do("running")
    other.leave()


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_inherits_no_file_of_the_process_that_started_it(
    place: Place, kind: str
) -> None:
    place = fresh(place, kind)
    user = place.user(kind)
    user.do("hold")
    (server,) = place.masters()
    opened = {str(link.readlink()) for link in Path(f"/proc/{server}/fd").iterdir()}
    ours = {name for name in opened if name.startswith(f"{place.folder}/")}
    assert {name for name in ours if "/data/" not in name} == {f"{place.folder}/log/server.log"}
    assert "/dev/null" in opened
    user.leave()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def fresh(place: Place, kind: str) -> Place:
    """The broker wants a folder of its own."""
    if kind == "broker":
        place.folder = place.folder.with_name("broker")
    return place
