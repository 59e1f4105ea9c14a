"""A worker in a thread that takes one step for each that it is given."""

from __future__ import annotations

import threading

from django.db import connections

from operations.models import Run
from operations.services.run_execute import run_execute

LONGEST = 60.0
"""Seconds after which a test that forgot its worker fails instead of hanging."""


class Worker:
    """Runs are executed by the engine itself; only when a step may follow is up to the test."""

    def __init__(self) -> None:
        self._steps = threading.Semaphore(0)
        self._free = threading.Event()
        self._waits = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def begin(self, run_id: int) -> None:
        """Takes the run, does its first step, and waits."""
        self._free.clear()
        self._waits.clear()
        self._thread = threading.Thread(target=self._work, args=[run_id], daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Lets it take one step, and returns when that is done."""
        assert self._waits.wait(LONGEST)
        self._waits.clear()
        self._steps.release()
        assert self._waits.wait(LONGEST)

    def finish(self) -> None:
        """Goes on without waiting, until the run ends or stops."""
        self._free.set()
        self._steps.release()
        assert self._thread is not None
        self._thread.join(LONGEST)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self.finish()

    def _work(self, run_id: int) -> None:
        try:
            run_execute(run_id=run_id, on_progress=self._wait)
        except BaseException as error:
            self._error = error
        finally:
            connections.close_all()
            self._waits.set()

    def _wait(self, _run: Run) -> None:
        if not self._free.is_set():
            self._waits.set()
            self._steps.acquire(timeout=LONGEST)
