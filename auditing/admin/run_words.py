"""What the runs of auditing have to say on their pages: reverts and baselines."""

from __future__ import annotations

from typing import Any

from auditing.admin.record_links import record_link
from auditing.admin.words import actor_link, rows_words
from auditing.models import ChangeStatement, TrackedTable
from operations.admin.run_presenting import RunPresenter
from operations.admin.show import Fact, link, number, when_text
from operations.models import Run

NAMED = 20
"""Rows that a page names."""


class RevertPresenter(RunPresenter):
    about = ("statement", "auditing_changestatement_change")

    def plan(self, run: Run) -> list[Fact]:
        plan = run.plan
        facts = [
            Fact("Rows", rows_words(plan.get("rows"))),
            Fact("Of", ", ".join(plan.get("tables", []))),
            Fact("Changed by", actor_link(plan.get("by", ""))),
            Fact("When", when_text(plan.get("at"))),
        ]
        if plan.get("because"):
            facts.append(Fact("Their reason", plan["because"]))
        return facts + [_statement(each) for each in plan.get("statements", [])]

    def outcome(self, run: Run) -> list[Fact]:
        found = run.result
        facts = [Fact("Put back", rows_words(found.get("reverted")))]
        if found.get("already"):
            facts.append(Fact("Were so already", rows_words(found["already"])))
        count, conflicts = found.get("conflict_count", 0), found.get("conflicts", [])
        if count:
            facts.append(Fact("Left as they are", rows_words(count), "something is in the way"))
        tables = _tables(conflicts[:NAMED])
        facts += [_conflict(each, tables) for each in conflicts[:NAMED]]
        if count > len(conflicts[:NAMED]):
            facts.append(Fact("And more", number(count - len(conflicts[:NAMED]))))
        return facts


def _statement(each: dict[str, Any]) -> Fact:
    shown = link(
        f"{each['operation']} in {each['table']}",
        "auditing_changestatement_change",
        each["statement"],
    )
    return Fact("Statement", shown, rows_words(each["rows"]))


def _tables(conflicts: list[dict[str, Any]]) -> dict[int, TrackedTable]:
    numbers = {each["statement"] for each in conflicts}
    found = ChangeStatement.objects.filter(pk__in=numbers).select_related("tracked")
    return {each.pk: each.tracked for each in found}


def _conflict(each: dict[str, Any], tables: dict[int, TrackedTable]) -> Fact:
    tracked = tables.get(each["statement"])
    name = record_link(tracked, each["record_id"]) if tracked is not None else each["record_id"]
    return Fact(each["table"], name, each["why"])


class BaselinePresenter(RunPresenter):
    about = ("tracked", "auditing_trackedtable_change")

    def outcome(self, run: Run) -> list[Fact]:
        return [Fact("Rows copied", number(run.result.get("rows")), "as they were then")]
