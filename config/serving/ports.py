"""The port that the console is served at: taken before anything is started."""

from __future__ import annotations

import errno
import socket

from operations.exceptions import CustodyError

BACKLOG = 128
LAST_PORT = 65_535
_LOOKED_AT = 50


class PortUnusable(CustodyError):
    """The console cannot be served at this address."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PortUnusable, whose text names a port that is free."""
    # The system would take what is left of it when divided by 65,536.
    if not 0 <= port <= LAST_PORT:
        raise PortUnusable(f"{port} is no port: choose one from 1 to {LAST_PORT}.")
    try:
        return _listen(host, port)
    except socket.gaierror as error:
        raise PortUnusable(
            f"{host} is no address of this machine ({error.strerror}): choose one with --bind."
        ) from error
    except OSError as error:
        raise PortUnusable(_why(error, host, port)) from error


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = _free_port(host, port)
        return f"Port {port} is in use: choose another with PORT={other} (or --port {other})."
    if error.errno == errno.EACCES:
        return f"Port {port} is kept for root: choose another with PORT=8000 (or --port 8000)."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: choose another with --bind."
    return f"The console cannot be served at {host}, port {port}: {error.strerror}."


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(address[:2], family=family, backlog=BACKLOG)


def _free_port(host: str, port: int) -> int:
    for other in range(port + 1, min(port + _LOOKED_AT, LAST_PORT + 1)):
        try:
            _listen(host, other).close()
        except OSError:
            continue
        return other
    return port + 1 if port < LAST_PORT else 8_000
