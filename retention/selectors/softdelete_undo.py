"""What disabling soft delete on a table would take away, and what keeps it from that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connections
from psycopg import sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.identifiers import Identifier, quoted
from operations.catalogue.read import table as read_table
from operations.catalogue.read import tables_by_oid
from operations.catalogue.types import Table, TableName
from retention.exceptions import SoftDeleteMissing
from retention.models import SoftDeleteTable
from retention.selectors.queries import Row, rows
from retention.selectors.softdelete_closure import Closure, softdelete_closure
from retention.selectors.softdelete_steps import COLUMNS, Step
from retention.selectors.softdelete_unique import uniques
from retention.selectors.softdelete_unique_back import back_steps


@dataclass
class DisablePlan:
    rows: list[SoftDeleteTable]
    """Of the tables that lose it, the one that was asked for first."""
    steps: list[Step] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)

    names: dict[TableName, SoftDeleteTable] = field(default_factory=dict)
    """The same by the tables' names as they are now."""

    @property
    def name(self) -> TableName:
        return next(iter(self.names), self.rows[0].table)

    def row_of(self, step: Step) -> SoftDeleteTable:
        return self.names[step.table]


def softdelete_undo(name: TableName | str, *, using: str = "default") -> DisablePlan:
    """Reads only. Tables that were enabled only because their rows go along with its go with it.

    Raises:
        NoSuchTable ...: as the catalogue does.
        SoftDeleteMissing: the table has no soft delete.
    """
    known = {
        row.table_oid: row for row in SoftDeleteTable.objects.using(using).filter(disabled_at=None)
    }
    row, table = _entry(name, known, using)
    if table is None:
        return DisablePlan([row], [_last(row.table, [], dropped=True)], names={row.table: row})
    going = _going(table, known, using)
    plan = DisablePlan(
        [known[each.oid] for each in going],
        names={each.name: known[each.oid] for each in going},
    )
    for each in going:
        _table(plan, each, known[each.oid], using)
    names = {each.name for each in going}
    for each in going:
        plan.obstacles += _above(each, names, known, using)
    # First nothing is deleted any more, then it goes; of the table that was asked for at the end,
    # so that an interrupted change is gone on with by the same command.
    first = [step for step in plan.steps if step.bin_empty and not step.last]
    middle = [step for step in plan.steps if not (step.bin_empty or step.last)]
    last = [step for step in plan.steps if step.last]
    plan.steps = [*first, *middle, *reversed(last)]
    return plan


def _entry(
    name: TableName | str, known: dict[int, SoftDeleteTable], using: str
) -> tuple[SoftDeleteTable, Table | None]:
    try:
        table = read_table(name, using=using)
    except NoSuchTable:
        # Of a table that was dropped the name in the registry is all that there is.
        gone = [row for row in known.values() if str(name) in (str(row.table), row.table_name)]
        if len(gone) != 1:
            raise
        oid = gone[0].table_oid
        return gone[0], tables_by_oid([oid], using=using).get(oid)
    row = known.get(table.oid)
    if row is None:
        raise SoftDeleteMissing(f"{table.name} has no soft delete.")
    return row, table


def _going(table: Table, known: dict[int, SoftDeleteTable], using: str) -> list[Table]:
    """The table, with those below it that have it for its sake only."""
    closure = _closure(table, known, using)
    going, changed = {table.name: table}, True
    below = {each.name: each for each in closure.tables if each.oid in known}
    while changed:
        changed = False
        for name, each in below.items():
            row = known[each.oid]
            if name in going or row.made.get("asked", False):
                continue
            if all(parent in going for parent in _parents(each, known, using)):
                going[name], changed = each, True
    return list(going.values())


def _closure(table: Table, known: dict[int, SoftDeleteTable], using: str) -> Closure:
    decided = {row.table: [TableName(*each) for each in row.along] for row in known.values()}
    return softdelete_closure(table, decided=decided, using=using)


def _parents(table: Table, known: dict[int, SoftDeleteTable], using: str) -> set[TableName]:
    """The tables with soft delete whose rows take rows of this one along, but itself."""
    enabled = {row.table: row for row in known.values()}
    found = set()
    for key in table.foreign_keys:
        parent = key.references
        row = enabled.get(parent)
        if row is None or parent == table.name:
            continue
        along = [TableName(*each) for each in row.along]
        if key.on_delete == "cascade" or table.name in along:
            found.add(parent)
    return found


def _above(
    table: Table, going: Iterable[TableName], known: dict[int, SoftDeleteTable], using: str
) -> list[str]:
    staying = sorted(_parents(table, known, using) - set(going))
    return [
        f"Rows of {table.name} go along with rows of {parent}, which has soft delete: run "
        f"manage.py softdelete_disable {parent} first."
        for parent in staying
    ]


def _table(plan: DisablePlan, table: Table, row: SoftDeleteTable, using: str) -> None:
    tree = rows("softdelete_marks", {"oids": [table.oid]}, using=using)
    added = [name for name in row.made.get("columns", []) if table.column(name) is not None]
    kept = [name for name in COLUMNS if table.column(name) is not None and name not in added]
    plan.obstacles += _in_bin(table, added, using)
    plan.obstacles += _uses(table, row, added, tree, using)
    if kept:
        plan.cautions.append(
            f"{', '.join(kept)} of {table.name} {'was' if len(kept) == 1 else 'were'} there "
            "before, and stay."
        )
    steps = [_shield_step(table, row)]
    current = {unique.name: unique for unique in uniques([table.oid], using=using)}
    for entry in row.active_unique:
        if entry["name"] in current:
            steps += back_steps(current[entry["name"]], entry)
        else:
            plan.cautions.append(
                f"{quoted(entry['name'])} of {table.name} was dropped since, and does not come "
                f"back. It was: {entry['definition']}"
            )
    # Once more: as long as a table above it had it, its references were guarded.
    last = _last(table.name, [_shield_drop(table), *_gone(table, row, added, tree)])
    plan.steps += [*steps, last]
    owned = rows("softdelete_facts", {"oids": [table.oid]}, using=using)[0]
    if not owned["owned"]:
        statements = " ".join(text for step in [*steps, last] for text in step.text())
        plan.obstacles.append(
            f"Only the owner of {table.name} ({quoted(owned['owner'])}) may take it away: GRANT "
            f"{quoted(owned['owner'])} to the console's role, then run this again. It is: "
            f"{statements}"
        )


def _in_bin(table: Table, added: list[str], using: str) -> list[str]:
    """Rows that would become active, or of which nobody would know any more."""
    columns = [name for name in ("deletion_id", "deleted_at") if table.column(name) is not None]
    if "deleted_at" not in added and "deleted_at" in columns:
        columns.remove("deleted_at")
    if not columns:
        return []
    condition = sql.SQL(" OR ").join(
        sql.SQL("{} IS NOT NULL").format(Identifier(name)) for name in columns
    )
    query = sql.SQL("SELECT pg_catalog.count(*) FROM {} WHERE {}").format(table.name.sql, condition)
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        [count] = cursor.fetchone()
    if not count:
        return []
    rows_are, them = ("1 row is", "it") if count == 1 else (f"{count:,} rows are", "them")
    return [
        (
            f"{rows_are} in the bin of {table.name}: restore {them} (manage.py deletion_list, "
            f"record_restore) or let {them} be purged, then run this again."
        )
    ]


def _uses(
    table: Table, row: SoftDeleteTable, added: list[str], tree: list[Row], using: str
) -> list[str]:
    """What others made of our columns, and would be lost with them."""
    if not added:
        return []
    of_marks = [node["index_oid"] for node in tree if node["index_oid"]]
    entries = {entry["name"] for entry in row.active_unique}
    of_unique = [
        node["oid"]
        for unique in uniques([table.oid], using=using)
        if unique.name in entries
        for node in unique.nodes
    ]
    view = sql.SQL("SELECT coalesce(pg_catalog.to_regclass({})::pg_catalog.oid, 0)").format(
        sql.Literal(str(row.view))
    )
    with connections[using].cursor() as cursor:
        cursor.execute(view)
        [view_oid] = cursor.fetchone()
    found = rows(
        "softdelete_uses",
        {"oid": table.oid, "columns": added, "ours": [*of_marks, *of_unique], "view": view_oid},
        using=using,
    )
    return [
        f"Columns that go with soft delete are used by {each['name']}: drop it, or let it do "
        "without them, then run this again."
        for each in found
    ]


def _shield_drop(table: Table) -> sql.Composed:
    return sql.SQL("SELECT custody.softdelete_shield_drop({}::pg_catalog.regclass)").format(
        sql.Literal(str(table.name))
    )


def _shield_step(table: Table, row: SoftDeleteTable) -> Step:
    return Step(
        table.name,
        f"takes away the view {row.view}, guards, policies and triggers",
        (_shield_drop(table),),
        bin_empty=True,
        made={"disabling": True},
        terms={"ready_at": None},
    )


def _gone(
    table: Table, row: SoftDeleteTable, added: list[str], tree: list[Row]
) -> list[sql.Composable]:
    root, ours = tree[0], [tuple(each) for each in row.made.get("indexes", [])]
    found: list[sql.Composable] = []
    if (root["schema"], root["index"]) in ours:
        found.append(sql.SQL("DROP INDEX {}").format(Identifier(root["schema"], root["index"])))
    else:
        # Of a tree that was never made whole.
        found += [
            sql.SQL("DROP INDEX {}").format(Identifier(node["schema"], node["index"]))
            for node in tree
            if node["index"] and (node["schema"], node["index"]) in ours and not node["attached"]
        ]
    if added:
        drops = sql.SQL(", ").join(
            sql.SQL("DROP COLUMN {}").format(Identifier(name)) for name in added
        )
        found.append(sql.SQL("ALTER TABLE {} {}").format(table.name.sql, drops))
    return found


def _last(table: TableName, statements: list[sql.Composable], *, dropped: bool = False) -> Step:
    what = "ends its soft delete: the table is not there any more"
    if not dropped:
        what = "drops the last guards, the index and the columns that were added"
    return Step(table, what, tuple(statements), bin_empty=not dropped, last=True)
