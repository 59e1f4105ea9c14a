"""Rehearsing a revert: what it would put back, and what is in the way. Nothing of it stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from auditing.models import ChangeStatement
from auditing.selectors.queries import PRINTED
from auditing.selectors.restorable import Restorable
from auditing.selectors.revert_rows import RevertRows
from auditing.services.revert_plan import ALONE, Chosen, statements_chosen, targets_of
from auditing.services.revert_stretch import BY_INDEX, MOST_NAMED
from auditing.services.revert_walk import RevertWalk, cursor_copy
from operations.acting import acting, person_fields
from operations.batches.sizing import BatchSize
from operations.session import set_local

_STRETCH = 5_000
_LIMITS = {"lock_timeout": "800ms"}
_SECONDS = 1.4


def revert_rehearse(
    *,
    chosen: Chosen,
    actor: User,
    on_rows: Callable[[int, int], None] = lambda _done, _total: None,
    using: str = "default",
) -> dict[str, Any]:
    """Counts and the first conflicts, in the words of a run's result.

    Up to `ALONE` rows are put back in a short transaction that is undone, so constraints and
    triggers count (`tried`). More rows are only looked at: then each change is compared with the
    row as it is now, and of several changes of one row only the last can be ready.

    Raises:
        NoSuchChange, RestoreRefused: see `statements_chosen` and `targets_of`.
    """
    statements = statements_chosen(chosen, using=using)
    targets = targets_of(statements)
    total = sum(each.rows for each in statements)
    found = cursor_copy({})
    with acting(**person_fields(actor), reason="Rehearsal"):
        tried = total <= ALONE and _try(statements, targets, found, using)
    if not tried:
        found, done = cursor_copy({}), 0
        for statement in statements:
            for low, high in _stretches(statement):
                done += _look(statement, targets[statement.tracked_id], low, high, found)
                on_rows(done, total)
    names = ("reverted", "already", "conflict_count", "conflicts")
    return {**{name: found[name] for name in names}, "tried": tried}


def _stretches(statement: ChangeStatement) -> list[tuple[int, int]]:
    first, last = statement.first_seq, statement.last_seq
    if first is None or last is None:
        return []
    return [(max(high - _STRETCH, first - 1), high) for high in range(last, first - 1, -_STRETCH)]


def _try(
    statements: list[ChangeStatement],
    targets: dict[int, Restorable],
    found: dict[str, Any],
    using: str,
) -> bool:
    """False when it took longer than its locks may be held."""
    began = time.monotonic()
    with transaction.atomic(using=using):
        set_local({**PRINTED, **BY_INDEX, **_LIMITS}, using=using)
        walk = RevertWalk(statements, targets, size=BatchSize(_STRETCH, 1, _STRETCH), using=using)
        finished = walk.go(found, lambda: time.monotonic() - began > _SECONDS)
        transaction.set_rollback(True, using=using)
    return finished


def _look(
    statement: ChangeStatement, target: Restorable, low: int, high: int, found: dict[str, Any]
) -> int:
    using = target.shape.using
    with transaction.atomic(using=using):
        set_local({**PRINTED, **BY_INDEX}, using=using)
        with target.ready():
            looks = RevertRows(statement, target).look(low, high)
    for look in looks:
        if look.state == "ready":
            found["reverted"] += 1
        elif look.state == "already":
            found["already"] += 1
        else:
            found["conflict_count"] += 1
            if len(found["conflicts"]) < MOST_NAMED:
                found["conflicts"].append(
                    {
                        "table": str(target.table.name),
                        "record_id": look.record_id,
                        "statement": statement.pk,
                        "why": look.why,
                    }
                )
    return len(looks)
