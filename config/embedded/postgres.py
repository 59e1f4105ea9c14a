"""The console's own PostgreSQL."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from . import cluster, process
from .account import Account, is_root, system_account
from .errors import EmbeddedError
from .programs import postgres_programs
from .server import Answer, EmbeddedServer

DATABASE = "custody"


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL in `folder`, with the database "custody" of the superuser "custody".

    `settings` overrides what the server is configured with, from its next start on.
    `sync=False` is for tests: the new data folder may be lost by a power cut.
    """

    noun = "PostgreSQL"
    setting = "DATABASE_URL"
    socket_name = f".s.PGSQL.{cluster.PORT}"
    # A fast shutdown waits for the archiver; one that hangs must not keep us for ever.
    stop_steps = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))

    def __init__(
        self,
        folder: Path,
        *,
        version: int = 18,
        settings: Mapping[str, str] | None = None,
        sync: bool = True,
    ) -> None:
        super().__init__(folder)
        self.version = version
        self.settings = dict(settings or {})
        self.sync = sync

    @cached_property
    def bin(self) -> Path:
        """The folder of psql, pg_dump and the others. Raises EmbeddedError without the wheel."""
        return postgres_programs(self.version)

    @property
    def url(self) -> str:
        """The address for libpq, from any process of this user; known before any start."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql://{cluster.OWNER}@/{DATABASE}?host={host}&port={cluster.PORT}"

    def conninfo(self, dbname: str = DATABASE) -> dict[str, str]:
        """The same as libpq's keywords: host, port, user, dbname."""
        return {
            "host": str(self.socket_folder),
            "port": cluster.PORT,
            "user": cluster.OWNER,
            "dbname": dbname,
        }

    @property
    def mark(self) -> Path:
        return self.data

    def _answer(self) -> Answer:
        # Each attempt to connect would leave a FATAL in the log.
        if self._says("starting"):
            return Answer.STARTING
        if self._says("stopping"):
            # Not for any time: a smart shutdown waits for clients, of whom we may be one.
            return Answer.SILENT
        # Twice: between a refusal and the ping it may have become ready.
        for _ in range(2):
            try:
                with self._connect() as connection:
                    return Answer.READY if _has_database(connection) else Answer.INCOMPLETE
            except psycopg.OperationalError:
                ping = PGconn.ping(self._address().encode())
            if ping != Ping.OK:
                return Answer.STARTING if ping == Ping.REJECT else Answer.SILENT
        # Ready, and refusing us for a reason such as too many clients.
        return Answer.READY

    def _says(self, state: str) -> bool:
        """Whether a server that lives has this state in its postmaster.pid."""
        try:
            lines = self._postmaster_file.read_text().split("\n")
        except OSError:
            return False
        if len(lines) < 8 or lines[7].strip() != state:
            return False
        return lines[0].isdigit() and process.runs(int(lines[0]), self.mark)

    def _complete(self) -> None:
        try:
            with self._connect() as connection:
                name = sql.Identifier(DATABASE)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        except psycopg.Error as error:
            message = " ".join(str(error).split())
            raise EmbeddedError(
                f"The embedded PostgreSQL in {self.folder} runs but refuses us: {message}. Its "
                f"log is {self.log}."
            ) from error

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._address(), autocommit=True)

    def _address(self) -> str:
        return make_conninfo("", **self.conninfo("postgres"), connect_timeout="5")

    def _account(self) -> Account | None:
        return super()._account() or (system_account() if is_root() else None)

    def _pid_files(self) -> Sequence[Path]:
        return [self._pid_file, self._postmaster_file]

    @property
    def _postmaster_file(self) -> Path:
        return self.data / "postmaster.pid"

    def _prepare(self) -> None:
        cluster.remove_halves(self.data)
        account = self._account()
        if not self.data.exists():
            cluster.create(
                self.data,
                programs=self.bin,
                version=self.version,
                account=account,
                reach=self._programs(),
                sync=self.sync,
            )
        cluster.require_version(self.data, self.version)
        # What a killed server left at work would keep a new one from starting.
        process.end_strays("postgres", self.data)
        cluster.configure(
            self.data,
            version=self.version,
            socket_folder=self.socket_folder,
            settings=self.settings,
            account=account,
        )
        # Its pid may by now be anybody's; what guards the data is postmaster.pid.
        (self.socket_folder / f"{self.socket_name}.lock").unlink(missing_ok=True)
        if process.read_pid(self._postmaster_file) is None:
            # Empty after a full disk or a power cut, and PostgreSQL then never starts again.
            self._postmaster_file.unlink(missing_ok=True)

    def _environment(self) -> Mapping[str, str]:
        # PostgreSQL believes the pid in its lock file when a process has it. We know that this
        # process is not ours, and this makes it ignore the pid (CreateLockFile in miscinit.c)
        # while it still checks that no old backend is attached to the shared memory.
        stale = process.read_pid(self._postmaster_file)
        return {"PG_GRANDPARENT_PID": str(stale)} if stale else {}

    def _command(self) -> Sequence[str | Path]:
        return [self.bin / "postgres", "-D", self.data]

    def _programs(self) -> list[Path]:
        return [
            self.bin / "postgres",
            self.bin.parent / "lib",
            self.bin.parent / "share",
        ]

    def _reach(self) -> Sequence[Path]:
        return [*self._programs(), self.data, self.socket_folder]


def _has_database(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    found = connection.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", [DATABASE])
    return found.fetchone() is not None
