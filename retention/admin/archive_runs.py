"""What restores and expiries of archives have to say on the page of their run."""

from __future__ import annotations

from typing import Any

from operations.admin.run_presenting import RunPresenter
from operations.admin.show import NOTHING, Fact, code, link, number, size
from operations.models import Run
from retention.models import Archive

_NAMED = 20


class RestorePresenter(RunPresenter):
    about = ("archive", "retention_archive_change")

    def plan(self, run: Run) -> list[Fact]:
        plan = run.plan
        facts = [
            Fact("Into", code(str(plan.get("table", "")))),
            Fact("Rows in the archive", number(plan.get("rows"))),
        ]
        if plan.get("rows_where"):
            facts.append(Fact("Only rows where", code(plan["rows_where"])))
        if plan.get("rows_chosen"):
            facts.append(Fact("Only chosen rows", number(plan["rows_chosen"])))
        facts += [Fact("And what went along", name) for name in plan.get("dependents", ())]
        facts += _columns(plan)
        return facts

    def outcome(self, run: Run) -> list[Fact]:
        found = run.result
        facts = [
            Fact("Rows put back", number(found.get("restored"))),
            Fact("There already", number(found.get("already_there"))),
            Fact("Something in the way", number(found.get("conflict_count"))),
        ]
        if found.get("changed_by_trigger"):
            facts.append(Fact("Changed by triggers", number(found["changed_by_trigger"])))
        conflicts = found.get("conflicts", [])
        facts += [Fact(_row(each), each["why"]) for each in conflicts[:_NAMED]]
        more = found.get("conflict_count", 0) - len(conflicts[:_NAMED])
        if more > 0:
            facts.append(Fact("And more", number(more), "manage.py run_show names a hundred"))
        return facts


class ExpiryPresenter(RunPresenter):
    about = ("policy", "retention_retentionpolicy_change")

    def plan(self, run: Run) -> list[Fact]:
        plan = run.plan
        facts = [
            Fact("Rows", number(plan.get("rows"))),
            Fact("Size", size(plan.get("bytes")), "as stored"),
            Fact("Recently at most", number(plan.get("most_recently")), "rows in one run"),
        ]
        for each in plan.get("archives", ()):
            hint = f"{each['rows']:,} rows of {each['table']}, kept until {each['kept_until']}"
            facts.append(Fact("Archive", each["archive"], hint))
        return facts

    def outcome(self, run: Run) -> list[Fact]:
        gone = Archive.objects.filter(destroyed_by=run).defer("layout").order_by("id")
        facts = [
            Fact(
                "Destroyed",
                link(archive.name, "retention_archive_change", archive.pk),
                f"{archive.rows:,} rows, {size(archive.bytes)}",
            )
            for archive in gone
        ]
        facts += [Fact("Kept", each["archive"], each["why"]) for each in run.result.get("kept", ())]
        return facts or [Fact("Destroyed", NOTHING)]


def _columns(plan: dict[str, Any]) -> list[Fact]:
    named = [
        ("columns_with_their_default", "New columns", "they get their default"),
        ("columns_renamed", "Renamed columns", ""),
        ("columns_mapped", "Columns put elsewhere", ""),
        ("columns_left_out", "Columns left out", "their values do not go back"),
        ("labels_mapped", "Labels renamed", ""),
    ]
    return [Fact(title, _listed(plan[key]), hint) for key, title, hint in named if plan.get(key)]


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{old} to {_listed(new)}" for old, new in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _row(each: dict[str, Any]) -> str:
    return f"Row {each.get('key') or '{part}:{line}'.format(**each)}"
