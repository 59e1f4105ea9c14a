"""Tells the database who acts: once in a transaction that writes, before its first write.

Invariant: what is said ends with the transaction (`set_config(..., true)`), so that a session which
a pooler gives to somebody else carries nothing on; and who only reads says nothing.

Every statement through Django's cursors is looked at. What goes past them, or writes without
looking like it (a function that writes, called by SELECT), is preceded by `context_send`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from auditing.statements import Writes, savepoint_moved, writes
from operations.acting import (
    Acting,
    acting,
    acting_alone,
    acting_as,
    acting_now,
    acting_said,
    acting_say,
)

__all__ = [
    "Acting",
    "acting",
    "acting_alone",
    "acting_as",
    "acting_now",
    "acting_say",
    "context_json",
    "context_send",
    "follow",
]

_SET = """
SELECT pg_catalog.set_config('custody.context', %s, true),
       pg_catalog.set_config('custody.context_id', '', true)
"""


@dataclass(frozen=True)
class _Sent:
    """Stands among Django's commit hooks, which end with the transaction as the setting does."""

    text: str

    def __call__(self) -> None:
        """There is nothing to do at the commit."""


@dataclass(frozen=True)
class _Savepoint:
    name: str

    def __call__(self) -> None:
        """There is nothing to do at the commit."""


def context_json(said: Acting | None) -> str:
    """What the setting `custody.context` is set to; empty when nothing is said."""
    if said is None:
        return ""
    found = {field.name: getattr(said, field.name) for field in fields(said)}
    found["extra"] = dict(said.extra)
    filled = {name: value for name, value in found.items() if value}
    return json.dumps(filled, default=str) if filled else ""


def context_send(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Says who acts, unless this transaction has heard it. Belongs inside of `transaction.atomic`.

    Raises:
        TransactionManagementError: there is no transaction, so it would be forgotten at once.
    """
    connection = connections[using]
    if connection.get_autocommit():
        raise TransactionManagementError("Who acts can only be said within a transaction.")
    _send(connection)


def follow(connection: BaseDatabaseWrapper) -> None:
    """Looks at every statement of a connection of Django's from now on."""
    if connection.vendor == "postgresql" and _before_write not in connection.execute_wrappers:
        # In front: `execute_wrapper()` takes the last one away at its end, thinking it its own.
        connection.execute_wrappers.insert(0, _before_write)


def _before_write(
    execute: Callable[..., Any], statement: Any, parameters: Any, many: bool, context: Any
) -> Any:
    connection: BaseDatabaseWrapper = context["connection"]
    sent = _last_sent(connection)
    if sent is None and not acting_said():
        return execute(statement, parameters, many, context)
    if sent is not None and (moved := savepoint_moved(statement)) is not None:
        result = execute(statement, parameters, many, context)
        _savepoint_follow(connection, *moved)
        return result
    kind = writes(statement)
    if not connection.get_autocommit():
        if kind is not Writes.NO:
            _send(connection)
    elif kind is Writes.YES and connections[connection.alias] is connection:
        with transaction.atomic(using=connection.alias):
            _send(connection)
            return execute(statement, parameters, many, context)
    return execute(statement, parameters, many, context)


def _send(connection: BaseDatabaseWrapper) -> None:
    text = context_json(acting_now())
    sent = _last_sent(connection)
    if text == (sent.text if sent else ""):
        return
    with connection.cursor() as cursor:
        cursor.execute(_SET, [text])
    if connection.in_atomic_block:
        _hooks(connection).append((set(connection.savepoint_ids), _Sent(text), True))


def _hooks(connection: BaseDatabaseWrapper) -> list[Any]:
    """Of each: the savepoints it was added in, itself, and whether its errors are only logged."""
    return connection.run_on_commit


def _last_sent(connection: BaseDatabaseWrapper) -> _Sent | None:
    hooks = (hook for _, hook, _ in reversed(_hooks(connection)))
    return next((hook for hook in hooks if isinstance(hook, _Sent)), None)


def _savepoint_follow(connection: BaseDatabaseWrapper, what: str, name: str) -> None:
    """Forgets what a rollback took back. Django knows it of its own savepoints only.

    A savepoint is noted only when something was sent before it: a rollback to any other takes back
    all that was sent.
    """
    hooks = _hooks(connection)
    if what == "SAVEPOINT":
        hooks.append((set(connection.savepoint_ids), _Savepoint(name), True))
        return
    places = [at for at, (_, hook, _) in enumerate(hooks) if hook == _Savepoint(name)]
    place = places[-1] if places else -1
    if what == "ROLLBACK":
        later = [each for each in hooks[place + 1 :] if not isinstance(each[1], _Sent | _Savepoint)]
        connection.run_on_commit = [*hooks[: place + 1], *later]
    elif places:
        # Those that were set within it go with it.
        later = [each for each in hooks[place:] if not isinstance(each[1], _Savepoint)]
        connection.run_on_commit = [*hooks[:place], *later]
