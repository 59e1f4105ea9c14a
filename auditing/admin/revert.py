"""Reverting a statement or its whole transaction: what would go back, what would not, then yes."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.safestring import SafeString

from auditing.admin.record import RESTORE
from auditing.admin.record_links import record_link
from auditing.admin.statement import row_line
from auditing.admin.words import columns_words, rows_words, what, who
from auditing.models import ChangeStatement, TrackedTable
from auditing.selectors.change_rows import statement_rows
from auditing.services.change_revert import CHANGE_REVERT, revert_request
from auditing.services.revert_plan import ALONE, Chosen, statements_chosen, targets_of
from auditing.services.revert_rehearse import revert_rehearse
from operations.admin.confirm import ConfirmView
from operations.admin.show import Fact, when
from operations.dispatch import wake
from operations.models import Run
from operations.runs.states import RunState
from operations.selectors.runs import run_open_for

MOST_REHEARSED = 20_000
"""Rows that are looked at before the page is shown; of more the run tells what is in the way."""
MOST_SHOWN = 10
"""Rows of the statement that the page shows, and as many conflicts."""


class RevertView(ConfirmView):
    """Of one statement. Nothing happens before the reason is posted."""

    template_name = "auditing/revert.html"
    button = "Revert"
    run: Run | None = None

    def has_permission(self) -> bool:
        return bool(
            self.model_admin.has_view_permission(self.request)
            and self.request.user.has_perm(RESTORE)
        )

    def chosen(self) -> Chosen:
        return Chosen(statement=self.kwargs["pk"])

    def find(self) -> ChangeStatement | None:
        found = ChangeStatement.objects.filter(pk=self.kwargs["pk"])
        return found.select_related("tracked", "context").first()

    def not_now(self) -> str:
        self.statements = statements_chosen(self.chosen())
        gone = [each.tracked for each in self.statements if each.tracked.untracked_at is not None]
        if gone:
            return f"{gone[0]} is not audited any more: a revert would leave no versions."
        targets_of(self.statements)
        return ""

    def act(self, reason: str) -> str:
        using = self.object.tracked.database
        self.run = revert_request(
            chosen=self.chosen(), requester=self.person, reason=reason, using=using
        )
        said = f"Revert of {self.chosen()} by {self.run}. Reason: {reason}"
        self.model_admin.log_change(self.request, self.object, said)
        if self.run.current is RunState.QUEUED:
            wake(self.run.pk)
        if self.run.current is RunState.AWAITING_APPROVAL:
            return f"{self.run} waits for another person's approval."
        return f"{self.run}: {self.run.current.label.lower()}."

    def back(self) -> str:
        if self.run is not None:
            return reverse("admin:operations_run_change", args=[self.run.pk])
        return reverse("admin:auditing_changestatement_change", args=[self.object.pk])

    @property
    def question(self) -> str:
        return f"Revert {what(self.object)}?"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.title = self.question
        rows = sum(each.rows for each in self.statements)
        many = rows > MOST_REHEARSED
        found = {} if many else revert_rehearse(chosen=self.chosen(), actor=self.person)
        page = statement_rows(self.object, limit=MOST_SHOWN)
        self.consequence = _consequence(rows, self._open())
        context = super().get_context_data(
            **kwargs,
            question=self.question,
            facts=[*_about(self.object, rows), *_found(found, many)],
            conflicts=_conflicts(self.statements, found),
            more_conflicts=max(found.get("conflict_count", 0) - MOST_SHOWN, 0),
            statements=[(what(each), columns_words(each.changed)) for each in self.statements],
            rows=[row_line(page.shape, row) for row in page.rows],
            more_rows=self.object.rows > MOST_SHOWN,
            is_blocked=not many and not found.get("reverted"),
            hidden={},
        )
        return {**context, "original": what(self.object)}

    def _open(self) -> Run | None:
        return run_open_for(kind=CHANGE_REVERT, subject=str(self.chosen()))


class TransactionRevertView(RevertView):
    """Of all statements of a transaction, the last one first."""

    button = "Revert the transaction"

    def chosen(self) -> Chosen:
        return Chosen(transaction=self.kwargs["xid"])

    def find(self) -> ChangeStatement | None:
        found = ChangeStatement.objects.filter(xid=self.kwargs["xid"]).order_by("-id")
        return found.select_related("tracked", "context").first()

    @property
    def question(self) -> str:
        count = len(self.statements)
        return f"Revert the whole transaction of {count} statement{'' if count == 1 else 's'}?"


def _consequence(rows: int, run: Run | None) -> str:
    if run is not None:
        state = run.current.label.lower()
        return f"There is a run already: {run} is {state}. You are taken to it."
    if rows > ALONE:
        return (
            f"A run is made. It is of more than {ALONE:,} rows, so another person has to approve "
            "it before anything is put back."
        )
    return (
        "A run is made and queued. Rows that were changed since are left as they are and reported. "
        "What it puts back is a new version of each row, with your name and reason."
    )


def _about(statement: ChangeStatement, rows: int) -> list[Fact]:
    context = statement.context
    return [
        Fact("What was done", what(statement)),
        Fact("By", who(statement.actor, context)),
        Fact("When", when(statement.at)),
        *([Fact("Reason", context.reason)] if context and context.reason else []),
        Fact("Rows in all", rows_words(rows)),
    ]


def _found(found: dict[str, Any], many: bool) -> list[Fact]:
    if many:
        hint = "too many rows to look at each before; the run reports them"
        return [Fact("In the way", "not looked for", hint)]
    tried = (
        "tried just now, and taken back"
        if found["tried"]
        else "looked at just now; checks and triggers show only when they are put back"
    )
    facts = [Fact("Would be put back", rows_words(found["reverted"]), tried)]
    if found["already"]:
        facts.append(Fact("Are so already", rows_words(found["already"])))
    if found["conflict_count"]:
        facts.append(Fact("Stay as they are", rows_words(found["conflict_count"]), "see below"))
    return facts


def _conflicts(
    statements: list[ChangeStatement], found: dict[str, Any]
) -> list[tuple[SafeString, str, str]]:
    tables: dict[int, TrackedTable] = {each.pk: each.tracked for each in statements}
    return [
        (record_link(tables[each["statement"]], each["record_id"]), each["table"], each["why"])
        for each in found.get("conflicts", [])[:MOST_SHOWN]
        if each["statement"] in tables
    ]
