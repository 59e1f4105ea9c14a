"""The life of an embedded server: held, shared, stopped by the last one, started again.

What must never break: two servers on one folder; a server stopped while another process uses
it; anything changed outside the folder. Hence every start, stop and count happens under one
lock, and a server is recognised by its answer or by its command line, never by a pid alone.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import ClassVar

from . import process
from .account import Account, account_of, is_root
from .errors import EmbeddedError
from .handles import Handles
from .logs import ServerLog
from .sockets import is_private, make_private, socket_folder

PATIENCE = 60.0
"""Seconds that a server may be silent. One that says it is recovering may take any time."""

LOST = 10.0
"""Seconds after which a silent server whose socket is missing has lost it: it makes that first."""

_ATTEMPTS = 3


class Answer(Enum):
    """What the server's socket says."""

    READY = "ready"
    INCOMPLETE = "ready, but something is missing in it"
    STARTING = "starting"
    SILENT = "silent"


class EmbeddedServer(ABC):
    """A server that belongs to `folder` and to the processes that hold it."""

    noun: ClassVar[str]
    setting: ClassVar[str]
    """The setting that names a server of one's own instead."""
    socket_name: ClassVar[str]
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]]

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).resolve()
        self.data = self.folder / "data"
        self.socket_folder = socket_folder(self.folder, self.socket_name)
        self._pid_file = self.folder / "server.pid"
        self.log = self.folder / "log" / "server.log"
        self._log = ServerLog(self.log)
        self._handles = Handles(self.folder, self._give)
        self._thread_lock = threading.Lock()
        self._thread_lock_pid = os.getpid()
        self._exit_pid: int | None = None
        self._last_pid: int | None = None

    # What a server is

    @property
    @abstractmethod
    def mark(self) -> Path:
        """The path that stands in the command line of this server and of no other."""

    @abstractmethod
    def _answer(self) -> Answer:
        """Ask the socket."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the server needs before it starts; it is certain that none runs."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]: ...

    @abstractmethod
    def _reach(self) -> Sequence[Path]:
        """What the server's user must be able to read."""

    def _environment(self) -> Mapping[str, str]:
        return {}

    @abstractmethod
    def _complete(self) -> None:
        """Make what is missing in a server that is incomplete."""

    def _pid_files(self) -> Sequence[Path]:
        return [self._pid_file]

    # What a process does with it

    def hold(self) -> None:
        """Use the server until this process ends; starts it when it does not run.

        Returns when it accepts connections, after a crash when it has recovered. May be called
        again at any time. Raises EmbeddedError.
        """
        with self._guarded():
            self._make_folder()
            with self._handles.master():
                held_before = self._handles.held
                self._handles.join()
                try:
                    self._ensure()
                except BaseException:
                    if not held_before:
                        self._leave()
                    raise
            if self._exit_pid != os.getpid():
                self._exit_pid = os.getpid()
                atexit.register(self._at_exit)

    def release(self) -> None:
        """Do without the server; the last one that held it stops it. Raises EmbeddedError."""
        with self._guarded():
            if not self._handles.held:
                return
            if not self.folder.exists():
                # Nothing can count its users any more, and its data is gone.
                self._handles.leave()
                if self._last_pid is not None:
                    process.end(self._last_pid, self.mark, self.stop_steps)
                return
            with self._handles.master():
                self._leave()

    def running(self) -> bool:
        """Whether the server accepts connections."""
        return self._ask() in (Answer.READY, Answer.INCOMPLETE)

    def _at_exit(self) -> None:
        # A forked child runs this too, and the server is not its own to stop.
        if self._exit_pid != os.getpid():
            return
        try:
            self.release()
        except EmbeddedError as error:
            sys.stderr.write(f"{error}\n")

    # Starting

    def _ensure(self) -> None:
        launches = 0
        silent_since = time.monotonic()
        while (answer := self._ask()) not in (Answer.READY, Answer.INCOMPLETE):
            if launches == 0:
                process.settle(self._pid_file)
            pid = self._pid()
            if pid is None:
                if launches == _ATTEMPTS:
                    raise self._failure("did not start")
                self._launch()
                launches += 1
                silent_since = time.monotonic()
            elif answer is Answer.STARTING:
                silent_since = time.monotonic()
            elif self._lost_socket(time.monotonic() - silent_since):
                self._stop()
            elif time.monotonic() - silent_since > PATIENCE:
                raise EmbeddedError(
                    f"The embedded {self.noun} in {self.folder} does not answer: end its process "
                    f"{pid} and try again. Its log is {self.log}."
                )
            time.sleep(0.01)
        if answer is Answer.INCOMPLETE:
            self._complete()
        self._last_pid = self._pid()

    def _ask(self) -> Answer:
        # A stranger's socket must not be talked to.
        trusted = is_private(self.socket_folder, self._owners())
        return self._answer() if trusted else Answer.SILENT

    def _pid(self) -> int | None:
        """The process of this server, running or starting."""
        for path in self._pid_files():
            pid = process.read_pid(path)
            if pid is not None and process.runs(pid, self.mark):
                return pid
        return None

    def _lost_socket(self, silent: float) -> bool:
        """Whether someone removed the socket: nobody can reach that server again."""
        return silent > LOST and not (self.socket_folder / self.socket_name).exists()

    def _launch(self) -> None:
        make_private(self.socket_folder, self._account())
        self._prepare()
        # A new file: the old one could be locked by a copy that a fork made.
        self._pid_file.unlink(missing_ok=True)
        pid_file = os.open(self._pid_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._give(self._pid_file)
            with self._log.writing() as log:
                self._give(self.log)
                process.launch(
                    self._command(),
                    account=self._account(),
                    reach=self._reach(),
                    log=log,
                    pid_file=pid_file,
                    environment=self._environment(),
                )
        finally:
            os.close(pid_file)

    # Stopping

    def _leave(self) -> None:
        self._handles.leave()
        if self._handles.users() == 0:
            self._stop()

    def _stop(self) -> None:
        process.settle(self._pid_file)
        pid = self._pid()
        if pid is not None and not process.end(pid, self.mark, self.stop_steps):
            raise self._failure(f"(process {pid}) could not be stopped")
        self._pid_file.unlink(missing_ok=True)
        if self.socket_folder.parent != self.folder and is_private(
            self.socket_folder, self._owners()
        ):
            with suppress(OSError):
                (self.socket_folder / self.socket_name).unlink(missing_ok=True)
                self.socket_folder.rmdir()

    # The folder and its owner

    def _account(self) -> Account | None:
        """Whom the server runs as, when not as this user: root serves the folder's owner."""
        if not is_root():
            return None
        found = (self.data if self.data.exists() else self.folder).stat()
        return account_of(found.st_uid, found.st_gid) if found.st_uid else None

    def _owners(self) -> set[int]:
        """Whose socket folder may be trusted: ours, and the server's user's."""
        owners = {os.geteuid()}
        with suppress(OSError):
            owners.add(self.data.stat().st_uid)
        return owners

    def _make_folder(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            # Root's server runs as another user, who must get through to its data.
            self.folder.chmod(0o711 if is_root() else 0o700)
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        self._give(self.log.parent)

    def _give(self, path: Path) -> None:
        """Let the owner of the folder use what root makes in it."""
        if is_root() and (owner := self.folder.stat()).st_uid:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    # Saying what went wrong

    def _failure(self, what: str) -> EmbeddedError:
        reason = self._log.reason()
        return EmbeddedError(
            f"The embedded {self.noun} in {self.folder} {what}"
            f"{f': {reason}' if reason else ''}. Its log is {self.log}; mend what it says, "
            f"or set {self.setting} to a server of your own."
        )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if self._thread_lock_pid != os.getpid():
            # Perhaps held, when we were forked, by a thread that is not here.
            self._thread_lock, self._thread_lock_pid = threading.Lock(), os.getpid()
        with self._thread_lock:
            try:
                yield
            except PermissionError as error:
                raise EmbeddedError(
                    f"The embedded {self.noun} cannot use {error.filename or self.folder} "
                    f"({error.strerror}): run as the user it belongs to, or set CUSTODY_VAR to a "
                    "folder of your own."
                ) from error
            except OSError as error:
                raise EmbeddedError(
                    f"The embedded {self.noun} in {self.folder} cannot be used: {error}. Mend "
                    f"that, or set CUSTODY_VAR to another folder or {self.setting} to a server of "
                    "your own."
                ) from error
