"""Lines of the audit log as the summaries leave them, without any capture."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from auditing.models import ChangeContext, ChangeStatement, Operation, TrackedTable

MORNING = datetime(2031, 3, 4, 9, 0, tzinfo=UTC)


def table(name: str, **more: Any) -> TrackedTable:
    return TrackedTable.objects.create(
        schema_name="shop",
        table_name=name,
        table_oid=TrackedTable.objects.count() + 1,
        history_name=f"shop__{name}",
        **more,
    )


def context(actor: str, **said: Any) -> ChangeContext:
    given = {"claimed": True, "session_user": "shop_app", **said}
    return ChangeContext.objects.create(xid=1, at=MORNING, actor=actor, **given)


def change(
    tracked: TrackedTable,
    number: int,
    *,
    operation: Operation = Operation.UPDATE,
    actor: str = "app:4711",
    said: ChangeContext | None = None,
    changed: Sequence[str] = (),
    rows: int = 1,
    xid: int = 0,
    **more: Any,
) -> ChangeStatement:
    """The statement with this number, a second after the one before it."""
    return ChangeStatement.objects.create(
        id=number,
        tracked=tracked,
        operation=operation,
        xid=xid or number,
        at=MORNING + timedelta(seconds=number),
        rows=rows,
        changed=list(changed),
        actor=said.actor if said is not None else actor,
        context=said,
        session_user="shop_app",
        **more,
    )
