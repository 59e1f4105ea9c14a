"""What a purge has to say on the page of its run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operations.admin.run_presenting import RunPresenter
from operations.admin.show import NOTHING, Fact, code, link, number, size, when_text
from operations.models import Run
from operations.runs.states import RunState
from retention.admin.bin_facts import bin_outcome, bin_plan_facts
from retention.admin.partition_facts import planned_partitions, returned_space
from retention.models import Archive

_KEPT = (
    ("kept_by_condition", "Kept by the condition", "expired, and the condition holds for them"),
    ("undecided", "Kept, condition unknown", "expired, and the condition is NULL for them"),
    ("protected", "Kept by a veto", "expired, and somebody protects them"),
    ("referenced", "Kept, still referred to", "expired, and rows of other tables refer to them"),
    (
        "kept_by_dependents",
        "Kept by what would go along",
        "expired, and a row that would go with them is held or referred to",
    ),
)
_WALKS = {"ctid": "By pages of the table", "key": "By key"}


class PurgePresenter(RunPresenter):
    about = ("policy", "retention_retentionpolicy_change")

    def plan(self, run: Run) -> list[Fact]:
        return plan_facts(run.plan)

    def details(self, run: Run) -> SafeString:
        """Who has to decide sees how things stand now, beside the plan."""
        policy = run.parameters.get("policy")
        if run.current is not RunState.AWAITING_APPROVAL or policy is None:
            return SafeString("")
        url = reverse("admin:retention_retentionpolicy_preview", args=[policy])
        return render_to_string("retention/preview_slot.html", {"preview_url": url})

    def outcome(self, run: Run) -> list[Fact]:
        result = run.result
        facts = [Fact("Rows removed", number(result.get("rows")))]
        if result.get("outcome") == "cancelled":
            facts.append(Fact("Ended early", "cancelled: the rest was left as it is"))
        tables = result.get("tables", [])
        if len(tables) > 1:
            facts += [Fact(f"Of {each['table']}", number(each["rows"])) for each in tables]
        archives = Archive.objects.filter(run=run).order_by(F("root").asc(nulls_first=True), "id")
        for archive in archives:
            shown = link(archive.name, "retention_archive_change", archive.pk)
            facts.append(
                Fact("Archive", shown, f"{archive.rows:,} rows, {size(archive.bytes)} compressed")
            )
        facts += bin_outcome(result)
        if result.get("certificate") and not archives:
            facts.append(Fact("Archive", "none: the rows are destroyed"))
        return facts + returned_space(result)


def plan_facts(plan: dict[str, Any]) -> list[Fact]:
    """Everything that `purge_plan` found, in the order in which a person decides."""
    about = "about " if plan.get("estimated") else ""
    if "bin" in plan:
        return bin_plan_facts(plan)
    walk = plan.get("walk") or {}
    return [
        Fact("Table", code(plan.get("table", ""))),
        Fact("Rows due", f"{about}{number(plan.get('due'))}", _ages(plan)),
        Fact("What becomes of them", str(plan.get("disposition", NOTHING)).capitalize()),
        Fact("Older than", when_text(plan.get("cutoff"))),
        Fact("Kept while", code(plan["keep_while"]) if plan.get("keep_while") else "no condition"),
        Fact("In SQL", format_html('<code class="c-sql">{}</code>', predicate(plan))),
        *_along(plan),
        *(Fact(title, number(plan[key]), hint) for key, title, hint in _KEPT if plan.get(key)),
        *(
            Fact(f"Hold {each['hold']}", number(each["rows"]), "rows that would be due without it")
            for each in plan.get("held_by", [])
        ),
        Fact(
            "Policy",
            f"{plan.get('policy', NOTHING)}, version {plan.get('policy_version', NOTHING)}",
        ),
        Fact("Walked", _WALKS.get(walk.get("by", ""), NOTHING), walk.get("reason", "")),
        *planned_partitions(plan),
    ]


def _along(plan: dict[str, Any]) -> list[Fact]:
    """The rows of other tables that go with these."""
    return [
        Fact(
            f"With them of {each['table']}",
            f"{'about ' if each['estimated'] and each['rows'] is not None else ''}"
            f"{number(each['rows'])}",
            "rows that refer to them: they go first",
        )
        for each in plan.get("tables", [])[1:]
    ]


def predicate(plan: dict[str, Any]) -> str:
    """Which rows go, as a person writes it. What runs is composed elsewhere, values bound."""
    cutoff = datetime.fromisoformat(plan["cutoff"]).isoformat(" ", "seconds")
    text = f"{plan['age_column']} < '{cutoff}'"
    keep = plan.get("keep_while")
    return f"{text}\nAND ({keep}) IS FALSE" if keep else text


def _ages(plan: dict[str, Any]) -> str:
    if not plan.get("oldest") or not plan.get("newest"):
        return ""
    return f"dated {plan['oldest'][:10]} to {plan['newest'][:10]}"
