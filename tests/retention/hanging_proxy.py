"""Between a client and the server that speaks S3: holds a request back when told to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class HangingProxy:
    """Listens on a port of its own."""

    def __init__(self, host: str, port: int) -> None:
        self.hang = threading.Event()
        """While it is set, the next PUT is held back, and whatever comes after it."""
        self.hanging = threading.Event()
        """A request is being held back."""
        self._server = (host, port)
        self._going = threading.Event()
        self._going.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def release(self) -> None:
        """What was held back goes on."""
        self.hang.clear()
        self._going.set()

    def close(self) -> None:
        self.release()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                for work in ((client, server, True), (server, client, False)):
                    thread = threading.Thread(target=self._pass_on, args=work, daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(self, source: socket.socket, target: socket.socket, asking: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if asking and self.hang.is_set() and data.startswith(b"PUT "):
                    self._going.clear()
                    self.hanging.set()
                if asking:
                    self._going.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
