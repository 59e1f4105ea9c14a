"""A plan of enabling or disabling soft delete as `retention/softdelete_plan.html` draws it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from operations.admin.run_presenting import RunPresenter
from operations.admin.show import Fact, code, joined
from operations.admin.table_words import rows_words
from operations.models import Run
from retention.selectors.softdelete_plan import EnablePlan
from retention.selectors.softdelete_steps import Step
from retention.selectors.softdelete_undo import DisablePlan
from retention.services.softdelete_events import softdelete_events_sure
from retention.softdelete_presenting import (
    UNFOLLOWED,
    now_text,
    plan_json,
    references_text,
    undo_json,
    why_text,
)

UNSURE = (
    "The console's role is no superuser, so it may not be able to make event triggers. Without "
    "them a migration that changes or drops a column is refused because of the active view, "
    "unless it calls custody.active_view_drop before and custody.active_view_make after "
    "(docs/soft-delete-sql.md). The run says how it came out."
)


@dataclass(frozen=True)
class StepShown:
    number: int
    what: str
    lock: str
    statements: list[str]


def plan_mark(plan: EnablePlan | DisablePlan) -> str:
    """By which a plan is known to be the one that was shown."""
    document = plan_json(plan) if isinstance(plan, EnablePlan) else undo_json(plan)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def changes_anything(plan: EnablePlan) -> bool:
    """Whether a step is missing, or a table's terms would be others."""
    return bool(plan.steps) or any(
        not each.ready
        or each.row is None
        or each.terms.rest() != {name: getattr(each.row, name) for name in each.terms.rest()}
        for each in plan.tables
    )


def plan_context(plan: EnablePlan) -> dict[str, Any]:
    cautions = [*plan.cautions]
    if not softdelete_events_sure(using="default"):
        cautions.append(UNSURE)
    owners = [text for step in plan.steps if step.owners for text in step.text()]
    return {
        "tables": [
            (
                str(each.table.name),
                rows_words(each.table),
                why_text(each),
                f"{each.terms.grace_days:,} days",
                now_text(each),
            )
            for each in plan.tables
        ],
        "terms": _terms(plan),
        "references": references_text(plan),
        "steps": _by_table(plan.steps),
        "unique": list(plan.stays),
        "cautions": cautions,
        "obstacles": list(plan.obstacles),
        # Whoever owns the tables runs these, when the console may not.
        "for_owner": "\n".join(owners) if plan.unowned else "",
    }


def undo_context(plan: DisablePlan) -> dict[str, Any]:
    return {
        "others": [str(name) for name in plan.names if name != plan.name],
        "steps": _by_table(plan.steps),
        "cautions": list(plan.cautions),
        "obstacles": list(plan.obstacles),
    }


def _terms(plan: EnablePlan) -> list[Fact]:
    terms = plan.tables[0].terms
    hidden = ", ".join(terms.hidden_from) or "nobody"
    facts = [
        Fact("Grace", f"{terms.grace_days:,} days"),
        Fact(
            "A DELETE of the application",
            "goes into the bin" if terms.capture_deletes else "deletes for good, as ever",
        ),
        Fact(
            "Deleted rows are hidden",
            f"in the table too, from {hidden}" if terms.row_security else "only in the view",
        ),
    ]
    if terms.along:
        names = joined([code(str(name)) for name in terms.along])  # type: ignore[misc]
        facts.append(Fact("Go along as well", names, "although their foreign key does not cascade"))
    return facts


def _by_table(steps: Sequence[Step]) -> list[tuple[str, list[StepShown]]]:
    found: list[tuple[str, list[StepShown]]] = []
    for number, step in enumerate(steps, start=1):
        lock = "a short lock, given back within two seconds"
        if step.concurrently:
            lock = "beside the writers: nobody waits for it"
        shown = StepShown(number, step.what, lock, step.text())
        if not found or found[-1][0] != str(step.table):
            found.append((str(step.table), []))
        found[-1][1].append(shown)
    return found


class SoftDeleteChangePresenter(RunPresenter):
    """What a run of soft delete has to say on its page."""

    def plan(self, run: Run) -> list[Fact]:
        plan = run.plan
        what = "disable" if plan.get("change") == "disable" else "enable, or change its terms"
        facts = [
            Fact("Soft delete", what),
            Fact("Tables", ", ".join(plan.get("tables", ()))),
        ]
        facts += [
            Fact(f"Step {number}", text)
            for number, text in enumerate(plan.get("steps", ()), start=1)
        ]
        return facts + [Fact("Caution", text) for text in plan.get("cautions", ())]

    def outcome(self, run: Run) -> list[Fact]:
        facts = [Fact("Tables", ", ".join(run.result.get("tables", ())))]
        if run.result.get("follows") is False:
            facts.append(Fact("Note", UNFOLLOWED))
        return facts
