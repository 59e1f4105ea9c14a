"""The command lines of the console's processes."""

from __future__ import annotations

import socket
import sys

from config.serving.child import Child

WEB_THREADS = 8


def children(listening: socket.socket, *, workers: int) -> list[Child]:
    """The web server, the workers and beat.

    Args:
        workers: how many runs are worked on at the same time.
    """
    return [_web(listening), _runs(workers), _chores(), _beat()]


def _web(listening: socket.socket) -> Child:
    # The socket is ours, so that nobody takes the port while the web server starts again.
    number = listening.fileno()
    options = [
        f"--bind=fd://{number}",
        "--worker-class=gthread",
        "--workers=1",
        f"--threads={WEB_THREADS}",
        "--graceful-timeout=5",
        "--no-control-socket",
    ]
    command = [sys.executable, "-m", "gunicorn", "config.wsgi", *options]
    return Child("web", command, files=(number,))


def _runs(workers: int) -> Child:
    return _worker("worker", "custody-runs", workers, level="INFO")


def _chores() -> Child:
    """A worker that no run keeps busy: heartbeats, the sweep, mails, the night's start."""
    return _worker("chores", "custody", 1, level="WARNING")


def _worker(name: str, queue: str, concurrency: int, *, level: str) -> Child:
    options = [
        f"--queues={queue}",
        f"--concurrency={concurrency}",
        f"--hostname={name}@%h",
        "--without-gossip",
        "--without-mingle",
        f"--loglevel={level}",
    ]
    return Child(name, [*_celery(), "worker", *options])


def _beat() -> Child:
    return Child("beat", [*_celery(), "beat", "--loglevel=WARNING"])


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "config.celery"]
