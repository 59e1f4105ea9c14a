"""Who acts now, from where and why: said where it is known, asked for where it is recorded.

It is said in layers: a request says who, a form inside of it why, a run for whom it works. Each
holds until its `with` ends, in this thread only. Nothing is looked up before somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib.auth.models import User


@dataclass(frozen=True)
class Acting:
    """Empty is what is not known."""

    actor: str = ""
    """`console:NAME`"""
    user_id: str = ""
    user_email: str = ""
    impersonator: str = ""
    """The actor who acts as the user."""
    reason: str = ""
    ip_address: str = ""
    user_agent: str = ""
    request_id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs to it, such as `{"run": 5}`: what JSON can hold."""


Layer = Callable[[Acting], Acting]

_layers: ContextVar[tuple[Layer, ...]] = ContextVar("custody_acting", default=())


def acting_now() -> Acting | None:
    """What is said at this moment; None when nobody has said anything."""
    layers = _layers.get()
    if not layers:
        return None
    acting = Acting()
    for layer in layers:
        acting = layer(acting)
    return acting


def acting_said() -> bool:
    """Whether anything is said at this moment. Asks nobody what."""
    return bool(_layers.get())


@contextmanager
def acting_as(layer: Layer) -> Iterator[None]:
    """Within, `layer` makes of what is said outside what is said here; asked at every write."""
    token = _layers.set((*_layers.get(), layer))
    try:
        yield
    finally:
        _layers.reset(token)


def acting(**said: Any) -> AbstractContextManager[None]:
    """Within, these fields of Acting are so; the others stay as they are outside."""
    return acting_as(lambda outside: replace(outside, **said))


def acting_say(**said: Any) -> None:
    """These fields of Acting are so until the `with` around ends; without one nothing is said."""
    layers = _layers.get()
    if layers:
        _layers.set((*layers, lambda before: replace(before, **said)))


@contextmanager
def acting_alone() -> Iterator[None]:
    """Within, nothing of what is said outside holds."""
    token = _layers.set(())
    try:
        yield
    finally:
        _layers.reset(token)


def console_actor(name: str) -> str:
    """The actor that is the console's user `name`."""
    return f"console:{name}"


def person_fields(person: User) -> dict[str, str]:
    """The fields that say who it is."""
    return {
        "actor": console_actor(person.get_username()),
        "user_id": str(person.pk),
        "user_email": person.email,
    }
