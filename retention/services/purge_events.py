"""What the audit log tells of a purge: one event a table, however many rows went, no images."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import Sum

from auditing.models import AuditEvent, ChangeStatement, ChangeTransaction, Operation, Removal
from operations.catalogue.types import TableName
from operations.models import Run
from operations.runs.kinds import Outcome
from retention.selectors.audited import HISTORY, history_tracked
from retention.services.partition_state import PartitionState
from retention.services.purge_audit import KEY


def removed_versions(run: Run) -> dict[str, int]:
    """How many versions went by this run from each history, by its name.

    The certificate tells the same numbers, so that nobody else's deletions pass for the run's.
    """
    found = (
        Removal.objects.filter(run_id=run.pk)
        .exclude(kind=Removal.Kind.CARRIED)
        .values_list("tracked__history_name")
        .annotate(Sum("versions"))
        .order_by("tracked__history_name")
    )
    return {f"{HISTORY}.{name}": count for name, count in found}


def purge_events(
    run: Run, removed: dict[TableName, int], *, outcome: Outcome, certificate: str
) -> list[AuditEvent]:
    """An event, and one line of the log, for each audited table that lost rows.

    In the run's last transaction, and repeatable. Of months of a history there is an event only: no
    row of its table was changed.

    Args:
        removed: rows that are gone, by table, the policy's own first.
    """
    detail = {
        "policy": run.parameters["policy_name"],
        "policy_version": run.parameters["policy_version"],
        "cutoff": run.parameters["cutoff"],
        "outcome": outcome,
        "archived": bool(run.parameters["archive"]),
    }
    gone = removed_versions(run)
    history = history_tracked(TableName(*run.parameters["table"]), using=run.database)
    if history is not None:
        detail["partitions"] = len(PartitionState.of(run.cursor).dropped)
        detail["history_versions"] = gone
        return [_event(run, AuditEvent.Kind.RETIRE, history.pk, run.done, detail, certificate)]
    noted: dict[str, Any] = run.cursor.get(KEY, {})
    events = []
    for number, rows in enumerate(removed.values()):
        if str(number) in noted and rows:
            tracked, kept = noted[str(number)]
            told = {**detail, "history": "kept" if kept else "gone"}
            if gone:
                told["history_versions"] = gone
            events.append(_event(run, AuditEvent.Kind.PURGE, tracked, rows, told, certificate))
    return events


def _event(  # noqa: PLR0917
    run: Run,
    kind: AuditEvent.Kind,
    tracked: int,
    rows: int,
    detail: dict[str, Any],
    certificate: str,
) -> AuditEvent:
    event = AuditEvent.objects.filter(run_id=run.pk, tracked_id=tracked, kind=kind).first()
    if event is not None:
        return event
    event = AuditEvent.objects.create(
        kind=kind,
        tracked_id=tracked,
        seq=_ask(run, "SELECT nextval('custody.audit_seq')")[0],
        actor=f"console:{run.requester.get_username()}",
        reason=run.reason,
        run_id=run.pk,
        certificate=certificate,
        rows=rows,
        detail=detail,
    )
    if kind is AuditEvent.Kind.PURGE:
        _line(event, rows, run)
    return event


def _line(event: AuditEvent, rows: int, run: Run) -> None:
    number, xid, role, client = _ask(
        run,
        "SELECT nextval('custody.audit_statement_seq'), custody.audit_xid(),"
        " session_user::text, host(inet_client_addr())",
    )
    ChangeStatement.objects.create(
        pk=number,
        tracked_id=event.tracked_id,
        operation=Operation.PURGE,
        xid=xid,
        at=event.at,
        rows=rows,
        actor=event.actor,
        session_user=role,
        client_addr=client,
        event=event,
    )
    # Whatever else of this transaction is captured is added to it when that is summarised.
    whole, _ = ChangeTransaction.objects.get_or_create(
        xid=xid,
        defaults={"first_at": event.at, "statements": 0, "rows": 0, "actor": event.actor},
    )
    whole.statements, whole.rows = whole.statements + 1, whole.rows + rows
    whole.save(update_fields=["statements", "rows"])


def _ask(run: Run, query: str) -> tuple[Any, ...]:
    with connections[run.database].cursor() as cursor:
        cursor.execute(query)
        row: tuple[Any, ...] = cursor.fetchone()
    return row
