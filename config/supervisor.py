"""Runs the console's processes until it is told to stop, and leaves nothing behind.

The children are in sessions of their own and end when this process does, however that ends
(`config.parent`); everything they do can be killed at any instant.
"""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from django.db import connections

from config.embedded import EmbeddedBroker, EmbeddedError, EmbeddedPostgres
from config.serving.child import Child
from config.serving.ports import listen

Embedded = EmbeddedPostgres | EmbeddedBroker

STOP_SECONDS = 8.0
"""What is not gone by then is killed."""
_LOOK_AT_SERVERS = 2.0
_TICK = 0.1
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def port_check(host: str, port: int) -> None:
    """Raises PortUnusable when the console could not be served at this address now."""
    listen(host, port).close()


class _Stop(BaseException):
    """The console was told to stop while it waited for a server."""


class Supervisor:
    """`say` is given one line at a time, for the person at the terminal."""

    def __init__(
        self,
        *,
        children: Sequence[Child],
        servers: Sequence[Embedded],
        address: tuple[str, int],
        say: Callable[[str], None],
    ) -> None:
        self._children, self._servers = children, servers
        self._address, self._say = address, say
        self._stops = 0
        self._interruptible = False
        self._ready = False
        self._look_again = 0.0

    def run(self) -> None:
        """Returns when it was told to stop and everything is gone. Raises EmbeddedError when a
        server does not start in the first place."""
        with self._signals():
            try:
                for server in self._servers:
                    self._hold(server)
                for child in self._children:
                    if not self._stops:
                        child.start()
                while not self._stops:
                    self._tend()
                    time.sleep(_TICK)
            except _Stop:
                pass
            finally:
                self._end()

    def _tend(self) -> None:
        for child in self._children:
            child.tend(self._say)
        if time.monotonic() >= self._look_again:
            for server in self._servers:
                self._revive(server)
            self._look_again = time.monotonic() + _LOOK_AT_SERVERS
        if not self._ready and self._answers():
            self._ready = True
            self._say(f"Custody is at {_url(*self._address)}  (Ctrl-C stops everything)")

    def _revive(self, server: Embedded) -> None:
        if server.running():
            return
        self._say(f"The embedded {server.noun} does not answer; it is started again ...")
        try:
            self._hold(server)
            self._say(f"The embedded {server.noun} is back.")
        except EmbeddedError as error:
            self._say(str(error))

    def _hold(self, server: Embedded) -> None:
        """May take as long as a recovery does, so a stop interrupts it."""
        self._interruptible = True
        try:
            if self._stops:
                raise _Stop
            server.hold()
        finally:
            self._interruptible = False

    def _answers(self) -> bool:
        host, port = self._address
        reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        connection = http.client.HTTPConnection(reached, port, timeout=2)
        try:
            connection.request("GET", "/admin/login/")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        else:
            return True
        finally:
            connection.close()

    def _end(self) -> None:
        if self._ready:
            self._say("Stopping ...")
        for child in self._children:
            child.terminate()
        give_up = time.monotonic() + STOP_SECONDS
        # A second Ctrl-C does not wait.
        while any(child.alive for child in self._children) and self._stops < 2:
            if time.monotonic() > give_up:
                break
            time.sleep(_TICK / 2)
        for child in self._children:
            child.kill()
        connections.close_all()
        for server in self._servers:
            server.release()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._told) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1
        if self._interruptible:
            self._interruptible = False
            raise _Stop


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
