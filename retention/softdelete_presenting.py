"""Plans of enabling and disabling soft delete, for people and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType

from operations.catalogue.types import TableName
from operations.commands import text_table
from retention.models import SoftDeleteTable
from retention.selectors.softdelete_plan import EnablePlan, TablePlan
from retention.selectors.softdelete_steps import Step
from retention.selectors.softdelete_undo import DisablePlan

UNFOLLOWED = (
    "This role may not create event triggers: a migration that changes or drops a column is "
    "refused because of the active view. Run softdelete_enable once as a superuser, or let the "
    "migration call custody.active_view_drop and custody.active_view_make "
    "(docs/soft-delete-sql.md)."
)


def plan_text(plan: EnablePlan) -> list[RenderableType]:
    """Everything that enabling would do, with its SQL."""
    others = len(plan.tables) - 1
    along = {0: "", 1: ", and of 1 table whose rows go along"}.get(
        others, f", and of {others} tables whose rows go along"
    )
    lines: list[RenderableType] = [f"Soft delete of {plan.name}{along}"]
    lines.append(
        text_table(
            "table",
            "rows",
            "why",
            "grace",
            "now",
            rows=[_table_row(each) for each in plan.tables],
            right=frozenset({1}),
        )
    )
    lines += references_text(plan)
    lines += _section("Steps", steps_text(plan.steps) or ["  Nothing is missing."])
    lines += _section("Unique constraints", _bullets(plan.stays))
    lines += _section("Cautions", _bullets(plan.cautions))
    lines += _section("In the way", _bullets(plan.obstacles))
    return lines


def _table_row(each: TablePlan) -> list[str]:
    rows = each.table.estimated_rows
    return [
        str(each.table.name),
        f"~{rows:,}" if rows >= 0 else "?",
        why_text(each),
        f"{each.terms.grace_days} days",
        now_text(each),
    ]


def why_text(each: TablePlan) -> str:
    """Why the table is part of the plan."""
    if each.why is None:
        return "asked for"
    rule = "cascades" if each.why.key.on_delete == "cascade" else "goes along, as decided"
    return f"{each.why.key.name} to {each.why.parent} {rule}"


def now_text(each: TablePlan) -> str:
    """How it stands before the first step."""
    return "enabled" if each.ready else "begun" if each.row else "not yet"


def references_text(plan: EnablePlan) -> list[str]:
    """What becomes of references from rows that do not go along."""
    return [line for meaning in ("severed", "refused") for line in _stays(plan, meaning)]


def _stays(plan: EnablePlan, meaning: str) -> list[str]:
    found: dict[TableName, list[str]] = {}
    for edge in plan.closure.edges:
        if edge.meaning == meaning:
            columns = ", ".join(edge.key.columns)
            what = f"{edge.child} ({columns})"
            if what not in found.setdefault(edge.parent, []):
                found[edge.parent].append(what)
    if meaning == "severed":
        return [
            f"When a row of {parent} is deleted, these are set as their keys say, and put back "
            f"when it is restored: {', '.join(sorted(keys))}."
            for parent, keys in found.items()
        ]
    return [
        f"A row of {parent} cannot be deleted while an active row of these refers to it: "
        f"{', '.join(sorted(keys))}. With --along TABLE such rows go along."
        for parent, keys in found.items()
    ]


def steps_text(steps: tuple[Step, ...] | list[Step]) -> list[str]:
    """By table, each step with its SQL below it."""
    lines, table = [], None
    for number, step in enumerate(steps, start=1):
        if step.table != table:
            lines.append(f"  {step.table}")
            table = step.table
        lines.append(f"  {number:>3}. {step.what}")
        lines += [f"       {text}" for text in step.text()]
    return lines


def _section(title: str, lines: list[str]) -> list[RenderableType]:
    return ["", title, *lines] if lines else []


def _bullets(sentences: tuple[str, ...] | list[str]) -> list[str]:
    return [f"  - {each}" for each in sentences]


def plan_json(plan: EnablePlan) -> dict[str, Any]:
    return {
        "table": str(plan.name),
        "tables": [_table_json(each) for each in plan.tables],
        "references": [
            {
                "constraint": edge.key.name,
                "table": str(edge.key.table),
                "columns": list(edge.key.columns),
                "parent": str(edge.parent),
                "meaning": edge.meaning,
            }
            for edge in plan.closure.edges
        ],
        "steps": [step_json(step) for step in plan.steps],
        "unique": list(plan.stays),
        "cautions": list(plan.cautions),
        "obstacles": list(plan.obstacles),
    }


def _table_json(each: TablePlan) -> dict[str, Any]:
    return {
        "table": str(each.table.name),
        "enabled": each.ready,
        "because_of": each.why.key.name if each.why else None,
        "view": str(TableName(each.table.name.schema, each.view)),
        "grace_days": each.terms.grace_days,
        "capture_deletes": each.terms.capture_deletes,
        "row_security": each.terms.row_security,
        "hidden_from": list(each.terms.hidden_from),
        "along": [str(name) for name in each.terms.along],
    }


def step_json(step: Step) -> dict[str, Any]:
    return {
        "table": str(step.table),
        "what": step.what,
        "sql": step.text(),
        "concurrently": step.concurrently,
    }


def undo_text(plan: DisablePlan) -> list[RenderableType]:
    """Everything that disabling would do, with its SQL."""
    others = ", ".join(str(name) for name in plan.names if name != plan.name)
    lines: list[RenderableType] = [f"Soft delete of {plan.name} ends"]
    if others:
        lines.append(f"With it that of {others}, which had it for its sake only.")
    lines += _section("Steps", steps_text(plan.steps))
    lines += _section("Cautions", _bullets(plan.cautions))
    lines += _section("In the way", _bullets(plan.obstacles))
    return lines


def undo_json(plan: DisablePlan) -> dict[str, Any]:
    return {
        "table": str(plan.name),
        "tables": [str(name) for name in plan.names],
        "steps": [step_json(step) for step in plan.steps],
        "cautions": list(plan.cautions),
        "obstacles": list(plan.obstacles),
    }


def softdelete_json(row: SoftDeleteTable) -> dict[str, Any]:
    """An entry of the registry."""
    return {
        "table": str(row.table),
        "view": str(row.view),
        "grace_days": row.grace_days,
        "capture_deletes": row.capture_deletes,
        "row_security": row.row_security,
        "hidden_from": row.hidden_from,
        "along": [str(TableName(*each)) for each in row.along],
        "active_unique": [entry["name"] for entry in row.active_unique],
        "ready_at": row.ready_at,
        "enabled_by": row.enabled_by,
        "disabled_at": row.disabled_at,
    }
