"""How much each signing key has signed, by what: who signs things registers here how to count."""

from __future__ import annotations

from collections.abc import Callable

from operations.models import Certificate

Count = Callable[[str], int]
"""Of a key's id."""

_counts: dict[str, Count] = {}


def register(noun: str, count: Count) -> None:
    """Makes a kind of signed things known, by its plural: `blocks`."""
    _counts[noun] = count


def key_uses(key_id: str) -> dict[str, int]:
    """How many things of each kind the key signed."""
    return {noun: count(key_id) for noun, count in sorted(_counts.items())}


register("certificates", lambda key_id: Certificate.objects.filter(key__key_id=key_id).count())
