"""What enabling soft delete on a table would do: every table, step, caution and obstacle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from psycopg import sql

from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from retention.exceptions import SoftDeleteUsage
from retention.models import SoftDeleteTable
from retention.models.deletion import GRACE_DAYS
from retention.selectors import softdelete_cautions as say
from retention.selectors import softdelete_refusals as refuse
from retention.selectors.queries import Row, rows
from retention.selectors.softdelete_closure import Closure, Edge, softdelete_closure
from retention.selectors.softdelete_roles import hidden_from, nobody_caution
from retention.selectors.softdelete_standing import shield_gaps
from retention.selectors.softdelete_steps import (
    COLUMNS,
    Step,
    columns_step,
    index_steps,
    view_name,
)
from retention.selectors.softdelete_unique import Unique, active_steps, unique_obstacle, uniques


@dataclass(frozen=True)
class EnableAsked:
    """The operator's choices. None: as it is, or as it is for a new table."""

    capture_deletes: bool | None = None
    row_security: bool | None = None
    grace_days: int | None = None
    along: tuple[str, ...] = ()
    """Tables, as they are written."""
    unique_active: tuple[str, ...] = ()
    """Unique constraints, by their names or as `schema.name`."""
    hide_from: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Terms:
    """What the registry says of a table."""

    grace_days: int
    capture_deletes: bool
    row_security: bool
    hidden_from: tuple[str, ...]
    along: tuple[TableName, ...]

    def shield(self) -> dict[str, Any]:
        """Those that its guards, policies and triggers are made by."""
        return {
            "capture_deletes": self.capture_deletes,
            "row_security": self.row_security,
            "hidden_from": list(self.hidden_from),
        }

    def rest(self) -> dict[str, Any]:
        """Those that hold as soon as all tables have it."""
        return {
            "grace_days": self.grace_days,
            "along": [[each.schema, each.name] for each in self.along],
        }


@dataclass(frozen=True)
class TablePlan:
    table: Table
    row: SoftDeleteTable | None
    """None: it has no soft delete yet."""
    why: Edge | None
    """By which key it goes along; None for the table that was asked for."""
    terms: Terms
    view: str
    uniques: tuple[Unique, ...]

    @property
    def ready(self) -> bool:
        return self.row is not None and self.row.ready_at is not None


@dataclass(frozen=True)
class EnablePlan:
    tables: tuple[TablePlan, ...]
    """The one that was asked for first."""
    closure: Closure
    steps: tuple[Step, ...]
    """In their order."""
    stays: tuple[str, ...]
    """Of each unique constraint that stays as it is, a sentence."""
    cautions: tuple[str, ...]
    obstacles: tuple[str, ...]
    unowned: tuple[TableName, ...] = ()
    """Tables with steps that only their owner may do, who is not the console."""

    @property
    def name(self) -> TableName:
        return self.tables[0].table.name


@dataclass
class _Said:
    cautions: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    unowned: list[TableName] = field(default_factory=list)
    nobody: list[TableName] = field(default_factory=list)
    """Tables whose policies would bind nobody."""


def softdelete_plan(
    name: TableName | str, *, asked: EnableAsked | None = None, using: str = "default"
) -> EnablePlan:
    """Reads only.

    Raises:
        NoSuchTable, AmbiguousTableName, BadTableName: of the table, or of one named in `along`.
        SoftDeleteUsage: a unique constraint was named that these tables have not.
    """
    asked = asked or EnableAsked()
    table = read_table(name, using=using)
    facts = _facts([table], using)
    if wrong := refuse.kind_obstacles(table, facts[table.oid]):
        return EnablePlan((_bare(table),), Closure([table]), (), (), (), tuple(wrong))
    known = _rows(using)
    decided = {row.table: [TableName(*each) for each in row.along] for row in known.values()}
    closure = softdelete_closure(
        table,
        along=[read_table(each, using=using).name for each in asked.along],
        decided=decided,
        using=using,
    )
    facts = _facts([*closure.tables, *closure.others.values()], using)
    said, steps, shields = _Said(), list[Step](), list[Step]()
    _along_said(closure, said)
    plans = [
        _table_plan(
            each, closure=closure, known=known, asked=asked, facts=facts, said=said, using=using
        )
        for each in closure.tables
    ]
    chosen = _chosen(plans, asked)
    for each in plans:
        own = _own_steps(each, chosen, said, using)
        if any(step.owners for step in own) and (
            why := refuse.owner_obstacle(each.table, facts[each.table.oid])
        ):
            said.obstacles.append(why)
            said.unowned.append(each.table.name)
        steps += own
        shields += _shield_step(each, bool(own), using)
    if said.nobody:
        said.cautions.append(nobody_caution(said.nobody))
    said.obstacles += refuse.severed_obstacles(closure, facts)
    said.cautions += say.closure_cautions(closure)
    said.cautions += say.guard_cautions(closure, facts)
    _ancestors_said(closure, plans, known, said)
    stays = [
        say.unique_words(unique)
        for each in plans
        for unique in each.uniques
        if not unique.active and unique.head["oid"] not in chosen
    ]
    return EnablePlan(
        tuple(plans),
        closure,
        (*steps, *shields),
        tuple(stays),
        tuple(dict.fromkeys(said.cautions)),
        tuple(dict.fromkeys(said.obstacles)),
        tuple(said.unowned),
    )


def _bare(table: Table) -> TablePlan:
    terms = Terms(GRACE_DAYS, False, False, (), ())
    return TablePlan(table, None, None, terms, view_name(table.name), ())


def _facts(tables: Iterable[Table], using: str) -> dict[int, Row]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT current_user::text")
        role = cursor.fetchone()[0]
    found = rows("softdelete_facts", {"oids": [table.oid for table in tables]}, using=using)
    return {row["oid"]: {**row, "role": role} for row in found}


def _rows(using: str) -> dict[int, SoftDeleteTable]:
    """The tables that have it, by their number."""
    return {
        row.table_oid: row
        for row in SoftDeleteTable.objects.filter(database=using, disabled_at=None)
    }


def _along_said(closure: Closure, said: _Said) -> None:
    for name in closure.pointless:
        said.obstacles.append(
            f"{name} refers to none of {', '.join(map(str, closure.names))}: leave it out of "
            "--along."
        )


def _table_plan(
    table: Table,
    *,
    closure: Closure,
    known: dict[int, SoftDeleteTable],
    asked: EnableAsked,
    facts: dict[int, Row],
    said: _Said,
    using: str,
) -> TablePlan:
    row, own = known.get(table.oid), facts[table.oid]
    base = row or known.get(closure.tables[0].oid) or SoftDeleteTable()
    view = row.view_name if row else view_name(table.name)
    said.obstacles += refuse.table_obstacles(table, own, row, view)
    adopted = row is None or "deleted_at" not in row.made.get("columns", [])
    said.cautions += say.table_cautions(table, adopted)
    row_security = _or(asked.row_security, base.row_security)
    roles: tuple[str, ...] = ()
    if row_security:
        kept = tuple(row.hidden_from) if row and row.row_security else None
        found = hidden_from(
            table, owner=own["owner"], asked=_or(asked.hide_from, kept), using=using
        )
        roles = found.roles
        said.cautions += found.cautions
        said.obstacles += found.obstacles
        if found.nobody:
            said.nobody.append(table.name)
        if not own["owned"]:
            said.obstacles.append(refuse.owner_obstacle(table, own))
    terms = Terms(
        grace_days=_or(asked.grace_days, base.grace_days),
        capture_deletes=_or(asked.capture_deletes, base.capture_deletes),
        row_security=row_security,
        hidden_from=roles,
        along=tuple(closure.along.get(table.name, ())),
    )
    return TablePlan(
        table, row, closure.why(table.name), terms, view, tuple(uniques([table.oid], using=using))
    )


def _or(asked: Any, otherwise: Any) -> Any:
    return otherwise if asked is None else asked


def _chosen(plans: list[TablePlan], asked: EnableAsked) -> set[int]:
    """The numbers of the unique indexes that are to look at active rows only.

    What was begun is gone on with, so an interrupted choice need not be made again.
    """
    chosen = {
        unique.head["oid"]
        for each in plans
        for unique in each.uniques
        if each.row and unique.name in {entry["name"] for entry in each.row.active_unique}
    }
    for text in asked.unique_active:
        found = [
            unique
            for each in plans
            for unique in each.uniques
            if text in (unique.name, f"{unique.table.schema}.{unique.name}")
        ]
        if len(found) != 1:
            raise SoftDeleteUsage(_unknown(text, found, plans))
        chosen.add(found[0].head["oid"])
    return chosen


def _unknown(text: str, found: list[Unique], plans: list[TablePlan]) -> str:
    if found:
        names = " or ".join(f"{unique.table.schema}.{unique.name}" for unique in found)
        return f"Several of these tables have a unique constraint {text}: write {names}."
    if any(text == each.table.primary_key.name for each in plans if each.table.primary_key):
        return f"{text} is a primary key, which names rows, deleted ones too: it stays."
    names = ", ".join(unique.name for each in plans for unique in each.uniques) or "none"
    return f"None of these tables has a unique constraint {text}. They have: {names}."


def _own_steps(plan: TablePlan, chosen: set[int], said: _Said, using: str) -> list[Step]:
    steps = columns_step(plan.table, plan.row)
    steps += index_steps(plan.table, plan.row, using=using)
    for unique in plan.uniques:
        if unique.head["oid"] not in chosen:
            continue
        if not unique.active and (why := unique_obstacle(unique, plan.table.key)):
            said.obstacles.append(why)
            continue
        if not unique.active:
            said.cautions += say.unique_cautions(unique)
        steps += active_steps(unique)
    return steps


def _shield_step(plan: TablePlan, changed: bool, using: str) -> list[Step]:
    """The view, the guards and whatever else: made anew as a whole, in one transaction."""
    row, terms = plan.row, plan.terms
    if row is not None and plan.ready and not changed:
        same = terms.shield() == {key: getattr(row, key) for key in terms.shield()}
        if same and not shield_gaps(row, using=using):
            return []
    what = [f"makes the view {TableName(plan.table.name.schema, plan.view)}", "guards references"]
    if terms.capture_deletes:
        what.append("captures the application's DELETE")
    if terms.row_security:
        what.append(f"hides deleted rows from {', '.join(terms.hidden_from) or 'nobody'}")
    call = sql.SQL("SELECT custody.softdelete_shield_make({}::pg_catalog.regclass)").format(
        sql.Literal(str(plan.table.name))
    )
    return [Step(plan.table.name, ", ".join(what), (call,), terms=terms.shield(), owners=False)]


def _ancestors_said(
    closure: Closure, plans: list[TablePlan], known: dict[int, SoftDeleteTable], said: _Said
) -> None:
    captured = {each.table.name for each in plans if each.terms.capture_deletes}
    enabled = {row.table for row in known.values() if row.ready_at}
    capturing = {row.table for row in known.values() if row.ready_at and row.capture_deletes}
    for child, parent, key in say.ancestors(closure, enabled):
        if child.name not in captured:
            said.cautions.append(say.ancestor_caution(child, parent, key))
    for child, parent, key in say.ancestors(closure, capturing):
        if child.name in captured:
            said.obstacles.append(say.ancestor_obstacle(child, parent, key))


__all__ = ["COLUMNS", "EnableAsked", "EnablePlan", "TablePlan", "Terms", "softdelete_plan"]
