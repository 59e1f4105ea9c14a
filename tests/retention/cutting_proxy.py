"""Between a client and PostgreSQL: cuts the connection exactly at a COMMIT, when told to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Literal

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As the protocol has it: a simple query, its length, its text."""


class CuttingProxy:
    """Listens on a socket in `folder`; libpq finds it with `host=folder port=1`."""

    port = "1"

    def __init__(self, folder: Path, *, host: str, port: str) -> None:
        self.folder = folder
        self.cut: Literal["", "before", "after"] = ""
        """At the next COMMIT: before the server gets it, or after it has done it."""
        self.cuts = 0
        self._server = (host, port)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{self.port}"))
        self._listener.listen()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            _end(*pair)
        for thread in self._threads:
            thread.join(timeout=10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = self._connect()
                self._pairs.append((client, server))
                dropping = threading.Event()
                for work in (self._forward, self._answer):
                    thread = threading.Thread(
                        target=work, args=(client, server, dropping), daemon=True
                    )
                    self._threads.append(thread)
                    thread.start()

    def _connect(self) -> socket.socket:
        host, port = self._server
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port or 5432}")
            return server
        return socket.create_connection((host or "localhost", int(port or 5432)))

    def _forward(
        self, client: socket.socket, server: socket.socket, dropping: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self.cut and COMMIT in data:
                    how, self.cut = self.cut, ""
                    self.cuts += 1
                    if how == "before":
                        break
                    dropping.set()
                server.sendall(data)
        if not dropping.is_set():
            _end(client, server)

    def _answer(
        self, client: socket.socket, server: socket.socket, dropping: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if dropping.is_set():
                    break
                client.sendall(data)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
