"""The console's own broker: Valkey, which speaks Redis' protocol."""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from .files import write_private
from .programs import valkey_program
from .server import Answer, EmbeddedServer


class EmbeddedBroker(EmbeddedServer):
    """Valkey in `folder`, on a unix socket only; what it was given survives kill -9.

    A power cut may take the last half minute: nothing is known by the broker alone.
    """

    noun = "Valkey"
    setting = "CELERY_BROKER_URL"
    socket_name = "valkey.sock"
    stop_steps = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0))

    @cached_property
    def program(self) -> Path:
        """The file of valkey-server. Raises EmbeddedError without the wheel."""
        return valkey_program()

    @property
    def socket(self) -> Path:
        """The unix socket, as clients of redis-py want it."""
        return self.socket_folder / self.socket_name

    @property
    def url(self) -> str:
        """The address as Celery writes it; known before any start."""
        return f"redis+socket://{quote(str(self.socket))}"

    @property
    def mark(self) -> Path:
        return self.folder / "valkey.conf"

    def _answer(self) -> Answer:
        # By hand: importing redis takes longer than starting the server.
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                answer = connection.recv(64)
        except OSError:
            return Answer.SILENT
        if answer.startswith(b"-LOADING"):
            return Answer.STARTING
        # Any other error (a full disk, say) is for those who write to hear.
        return Answer.READY if answer else Answer.SILENT

    def _complete(self) -> None:
        raise NotImplementedError("an empty Valkey is complete")

    def _prepare(self) -> None:
        account = self._account()
        self.data.mkdir(mode=0o700, exist_ok=True)
        self._give(self.data)
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "appendonly": "yes",
            # Every write is in the file before its answer. With "everysec" it is left for later
            # while the disk is slow, and kill -9 then loses what was acknowledged.
            "appendfsync": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            # The command line is how we know it.
            "set-proc-title": "no",
            "always-show-logo": "no",
        }
        lines = [f"{name} {_quoted(value)}" for name, value in settings.items()]
        write_private(self.mark, "\n".join(lines) + "\n", account)

    def _command(self) -> Sequence[str | Path]:
        return [self.program, self.mark]

    def _reach(self) -> Sequence[Path]:
        return [self.program, self.data, self.socket_folder]


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
