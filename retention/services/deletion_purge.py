"""Destroying one deletion before its grace is over: a purge of its own, which another person has to
approve.

Invariant: it is archived, vetoed, counted and certified as every purge is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from operations.catalogue.read import names_by_oid
from operations.catalogue.types import TableName
from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.kinds import Outcome, Plan, register
from operations.selectors.runs import run_open_for
from operations.services.run_to_end import run_again, run_to_end
from operations.services.runs import run_create, run_log
from retention.exceptions import PurgeRefused
from retention.models import Deletion
from retention.selectors.bin_standing import bin_standing
from retention.selectors.deletions import deletion_get
from retention.selectors.deletions_due import DueDeletions, bin_graph
from retention.selectors.due import DueRows
from retention.selectors.softdelete_graph import Enabled
from retention.services.bin_plan import deletion_plan
from retention.services.purge import Purge

DELETION_PURGE = "deletion_purge"


@register
class DeletionPurge(Purge):
    """The rows of one deletion, whether its grace is over or not."""

    name = DELETION_PURGE
    title = "Purge of a deletion"

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:
        return _plan(deletion_get(parameters["deletion"], using=using), using=using)

    def finish(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        result = super().finish(run, outcome)
        if outcome == "complete" and not run.done:
            run_log(run, f"Nothing was destroyed. {_why_not(run)}".strip(), level="warning")
        return result


def _why_not(run: Run) -> str:
    """What came in the way after it was asked for; empty when that is gone again."""
    try:
        _plan(deletion_get(run.parameters["deletion"], using=run.database), using=run.database)
    except CustodyError as error:
        return str(error)
    return ""


def deletion_subject(deletion: Deletion) -> str:
    """By which its run is found: `deletion 12`, with the record for people."""
    return f"deletion {deletion.pk}: {deletion.table} {deletion.record_id}".strip()[:200]


def deletion_purge_preview(*, deletion_id: int, using: str = "default") -> Plan:
    """What would be destroyed. Raises what `deletion_purge` raises."""
    return _plan(deletion_get(deletion_id, using=using), using=using)


def deletion_purge_request(
    *, deletion_id: int, actor: User, reason: str = "", using: str = "default"
) -> Run:
    """Asks for it: a run that waits for another person's approval; or the one that is open.

    Raises:
        NoSuchDeletion: there is no deletion of this number.
        PurgeRefused: it is not in the bin, or something of it must stay: the text says what.
        Vetoed: one of its tables is held as a whole.
    """
    deletion = deletion_get(deletion_id, using=using)
    run = run_open_for(kind=DELETION_PURGE, subject=deletion_subject(deletion))
    if run is not None:
        return run_again(run=run, requester=actor, reason=reason)
    with transaction.atomic(using=using):
        run = run_create(
            kind=DELETION_PURGE,
            parameters={"deletion": deletion.pk},
            requester=actor,
            reason=reason,
            using=using,
        )
        Deletion.objects.filter(pk=deletion.pk, state=Deletion.State.DELETED).update(run=run)
    return run


def deletion_purge(
    *,
    deletion_id: int,
    actor: User,
    reason: str = "",
    wait: bool = False,
    on_progress: Callable[[Run], None] | None = None,
    using: str = "default",
) -> Run:
    """The same, and carries it out in this process once it is approved.

    Args:
        wait: for the other person's approval.
    """
    run = deletion_purge_request(deletion_id=deletion_id, actor=actor, reason=reason, using=using)
    return run_to_end(run=run, wait=wait, on_progress=on_progress)


def _plan(deletion: Deletion, *, using: str) -> Plan:
    if deletion.current is not Deletion.State.DELETED:
        raise PurgeRefused(
            f"Deletion {deletion.pk} is not in the bin ({deletion.current.label.lower()}): there "
            "is nothing to destroy."
        )
    enabled = Enabled(using=using)
    table = enabled.table(_table_now(deletion, using))
    if enabled.of(table) is None:
        raise PurgeRefused(
            f"{table.name} does not have soft delete any more, so deletion {deletion.pk} has no "
            "rows there."
        )
    which = DueDeletions(using, deletion.table_oid, timezone.now(), deletion.pk)
    graph = bin_graph(table, which, using=using)
    for refusal in graph.refusals:
        raise PurgeRefused(refusal)
    standing = bin_standing(graph, which, DueRows(table, "", which.before, None), using=using)
    if standing.waiting:
        raise PurgeRefused(f"Deletion {deletion.pk} stays in the bin: {standing.waiting[0].why}.")
    if not standing.rows:
        raise PurgeRefused(f"Deletion {deletion.pk} has no rows in the bin any more.")
    return deletion_plan(
        graph=graph,
        which=which,
        standing=standing,
        subject=deletion_subject(deletion),
        using=using,
    )


def _table_now(deletion: Deletion, using: str) -> TableName:
    found = names_by_oid([deletion.table_oid], using=using).get(deletion.table_oid)
    if found is None:
        raise PurgeRefused(f"{deletion.table} is gone, and the rows of deletion {deletion.pk} too.")
    return found
