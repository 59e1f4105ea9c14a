"""Who the server runs as, and that nothing outside its folder is opened for it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from config.embedded import EmbeddedError, EmbeddedPostgres, account
from config.embedded.account import SYSTEM_USER
from config.embedded.programs import postgres_programs

from .embedded_place import ROOT, SETTINGS, Place, as_login, copy, kill, servers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="what root does can only be seen as root")

READ_SEARCH = 1 << 2

# Root without the capability, as in a container that was not given it.
WITHOUT_READ_SEARCH = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH = 24, 2
assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def capabilities(pid: int) -> list[int]:
    found = status(pid)
    return [int(found[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")]


def owner(pid: int) -> str:
    return pwd.getpwuid(int(status(pid)["Uid"].split()[0])).pw_name


def closed_above(path: Path) -> list[Path]:
    """The folders above, from the root down, that not everybody may enter."""
    return [above for above in [*path.parents][::-1] if not above.stat().st_mode & 0o001]


PROGRAMS = postgres_programs(18) / "postgres"

reachable = pytest.mark.skipif(
    bool(closed_above(PROGRAMS)), reason=f"not everybody can reach {PROGRAMS}"
)


def modes(paths: list[Path]) -> list[tuple[int, int, int]]:
    return [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in paths]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="custody-test-")).resolve()
    folder.chmod(0o755)
    yield folder
    left = servers(folder)
    kill(left)
    shutil.rmtree(folder)
    assert not left, f"left behind: {left}"


@reachable
def test_for_root_the_server_is_an_unprivileged_user_without_any_capability(
    open_folder: Path, made: Path
) -> None:
    copy(made, open_folder / "server")
    server = EmbeddedPostgres(open_folder / "server", settings=SETTINGS)
    before = modes([open_folder, *open_folder.parents])
    server.hold()
    (master,) = (pid for pid in servers(open_folder) if f"{pid}" in pid_file(server))
    assert owner(master) == SYSTEM_USER
    assert capabilities(master) == [0, 0, 0, 0]
    assert status(master)["Groups"] == ""
    assert modes([open_folder, *open_folder.parents]) == before
    server.release()


def test_under_a_closed_folder_it_gets_the_right_to_read_and_nothing_is_opened(
    open_folder: Path, made: Path
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    copy(made, closed / "server")
    before = modes([closed, *closed.parents])
    server = EmbeddedPostgres(closed / "server", settings=SETTINGS)
    server.hold()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("CHECKPOINT")
    (master,) = (pid for pid in servers(open_folder) if f"{pid}" in pid_file(server))
    assert owner(master) == SYSTEM_USER
    assert capabilities(master) == [READ_SEARCH] * 4
    assert modes([closed, *closed.parents]) == before
    server.release()


def test_data_is_made_under_a_closed_folder_too(new_place: Place) -> None:
    assert not new_place.folder.parents[1].stat().st_mode & 0o077, "pytest closes its folders"
    user = new_place.user()
    user.do("hold")
    (master,) = new_place.masters()
    assert capabilities(master) == [READ_SEARCH] * 4
    user.leave()


def test_programs_under_a_closed_folder_serve_as_well(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(open_folder / "server", settings=SETTINGS, sync=False)
    installed = server.bin.parents[1]
    libraries = installed.with_name(f"{installed.name}.libs")
    wheel = closed / installed.name
    wheel.mkdir()
    for source in (server.bin.parent, libraries):
        target = wheel / source.name if source != libraries else closed / source.name
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    before = modes([closed, wheel])
    server.bin = wheel / server.bin.parent.name / "bin"
    server.hold()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    (master,) = (pid for pid in servers(open_folder) if f"{pid}" in pid_file(server))
    assert Path(f"/proc/{master}/exe").readlink().is_relative_to(closed)
    assert capabilities(master) == [READ_SEARCH] * 4
    assert modes([closed, wheel]) == before
    server.release()


def test_without_that_capability_one_line_names_the_folder_that_is_closed(
    new_place: Place,
) -> None:
    program = (sys.executable, "-c", WITHOUT_READ_SEARCH)
    message = new_place.user(program=program).fails("hold")
    (closed, *_) = [*closed_above(PROGRAMS), *closed_above(new_place.folder)]
    assert f"{SYSTEM_USER} may not enter {closed}," in message
    assert "CAP_DAC_READ_SEARCH" in message
    assert "CUSTODY_VAR" in message
    assert "\n" not in message
    assert new_place.servers() == []


@reachable
def test_without_that_capability_a_folder_that_is_open_serves(
    open_folder: Path, made: Path
) -> None:
    copy(made, open_folder / "server")
    place = Place(open_folder / "server")
    user = place.user(program=(sys.executable, "-c", WITHOUT_READ_SEARCH))
    user.do("hold")
    user.leave()


def pid_file(server: EmbeddedPostgres) -> str:
    return (server.folder / "server.pid").read_text()


def test_the_system_user_is_made_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"custody-t-{secrets.token_hex(4)}"
    monkeypatch.setattr(account, "SYSTEM_USER", name)
    try:
        made = account.system_account()
        entry = pwd.getpwnam(name)
        assert (made.uid, made.gid) == (entry.pw_uid, entry.pw_gid)
        assert entry.pw_shell.endswith(("nologin", "false"))
        assert not Path(entry.pw_dir).exists()
        assert account.system_account() == made
    finally:
        subprocess.run(["userdel", name], capture_output=True, check=True)


def test_without_useradd_one_line_says_what_to_do(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "SYSTEM_USER", "custody-missing")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(EmbeddedError, match="no useradd") as caught:
        EmbeddedPostgres(open_folder / "server").hold()
    assert "DATABASE_URL" in str(caught.value)


def ordinary_python(login: str) -> tuple[str, str]:
    """An interpreter that this user may execute, and the path of our packages for it."""
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    own = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, own):
        with suppress(OSError):
            found = subprocess.run(
                [program, "-c", "import config.embedded"],
                **as_login(login),
                check=False,
                env={"PYTHONPATH": f"{ROOT}:{packages}", "PATH": os.defpath},
                cwd="/",
                capture_output=True,
            )
            if found.returncode == 0:
                return program, f"{ROOT}:{packages}"
    pytest.skip(f"there is no python{sys.version_info.minor} that {login} may execute")


@pytest.fixture
def ordinary(open_folder: Path) -> Iterator[Place]:
    """A place in a folder of the user nobody."""
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    entry = pwd.getpwnam("nobody")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    place = Place(home / "server")
    yield place
    place.clean()


def test_an_ordinary_user_runs_it_as_itself(ordinary: Place) -> None:
    program, path = ordinary_python("nobody")
    users = [ordinary.user(program=[program], login="nobody", path=path) for _ in range(3)]
    for user in users:
        user.tell("hold")
    for user in users:
        assert user.hear() == {"answer": None}
    (master,) = ordinary.masters()
    assert owner(master) == "nobody"
    assert capabilities(master) == [0, 0, 0, 0]
    users[0].kill()
    kill(ordinary.servers())
    users[1].do("hold")
    for user in users[1:]:
        user.leave()
    assert ordinary.servers() == []
    assert {path.stat().st_uid for path in ordinary.folder.rglob("*")} == {
        pwd.getpwnam("nobody").pw_uid
    }


@pytest.mark.parametrize("kind", ["postgres", "broker"])
def test_root_and_the_owner_of_the_folder_share_a_server_of_the_owner(
    ordinary: Place, kind: str
) -> None:
    program, path = ordinary_python("nobody")
    user = ordinary.user(kind, program=[program], login="nobody", path=path)
    user.do("hold")
    user.do("release")
    root = ordinary.user(kind)
    root.do("hold")
    (master,) = ordinary.masters()
    assert owner(master) == "nobody"
    user.do("hold")
    assert ordinary.masters() == [master]
    root.leave()
    assert user.do("running")
    user.leave()
    assert ordinary.servers() == []


@pytest.mark.parametrize("kind", ["postgres", "broker"])
def test_what_root_made_is_refused_to_another_user_in_one_line(
    open_folder: Path, made: Path, kind: str
) -> None:
    program, path = ordinary_python("nobody")
    if kind == "postgres":
        copy(made, open_folder / "server")
    place = Place(open_folder / "server")
    root = place.user(kind)
    root.do("hold")
    message = place.user(kind, program=[program], login="nobody", path=path).fails("hold")
    assert str(place.folder) in message
    assert "CUSTODY_VAR" in message
    assert "\n" not in message
    root.leave()
    place.clean()
