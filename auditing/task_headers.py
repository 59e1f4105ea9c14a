"""Who acts goes along with a task of Celery, in its headers, to the worker that does it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from auditing.context import context_json
from operations.acting import Acting, acting_as, acting_now, console_actor

HEADER = "custody_context"
SCHEDULER = "scheduler"
"""The system user whose work it is when nobody sent the task but beat."""

_open: dict[str, AbstractContextManager[None]] = {}
_NAMES = frozenset(each.name for each in fields(Acting))


def connect() -> None:
    """Once, when the application is ready."""
    before_task_publish.connect(_carry, weak=False, dispatch_uid="auditing.carry")
    task_prerun.connect(_begin, weak=False, dispatch_uid="auditing.begin")
    task_postrun.connect(_end, weak=False, dispatch_uid="auditing.end")


def _carry(headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    text = context_json(acting_now())
    if text and headers is not None:
        headers[HEADER] = text


def _begin(task_id: str, task: Any, **kwargs: Any) -> None:
    if task.request.is_eager:
        # Done on the spot, by whoever asked.
        return
    said = _said(task.request.get(HEADER), task.name)
    scope = acting_as(lambda _outside: said)
    scope.__enter__()
    _open[task_id] = scope


def _end(task_id: str, **kwargs: Any) -> None:
    scope = _open.pop(task_id, None)
    if scope is not None:
        scope.__exit__(None, None, None)


def _said(header: Any, task: str) -> Acting:
    """Whatever the broker brought, the task is done."""
    try:
        found = json.loads(header)
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, Mapping):
        return Acting(actor=console_actor(SCHEDULER), extra={"task": task})
    extra = found.get("extra")
    known = {name: str(value) for name, value in found.items() if name in _NAMES - {"extra"}}
    return Acting(**known, extra={**(extra if isinstance(extra, Mapping) else {}), "task": task})
