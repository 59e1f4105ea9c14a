"""One step of a redaction: versions of a few sections lose their values.

Invariant: in one transaction vetoes are asked, rows and sections are locked, rows are compared with
their leaves, salts are destroyed and values set to NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections
from psycopg import sql

from auditing.models import SealSection, TrackedTable
from auditing.seals.leaves import REST, tag
from auditing.selectors.redactable import Pick, Redactable
from auditing.selectors.sealed_rows import VERSION_META, lines, version_names
from auditing.services.redact_find import Group
from auditing.services.redact_sections import SealedRow, Taking, values_take
from auditing.services.redact_vetoes import redact_vetoes
from operations.catalogue.identifiers import Identifier

_SEQ = VERSION_META.index("seq")
_PARTITION = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %s::pg_catalog.oid
"""


@dataclass(frozen=True)
class Done:
    versions: int = 0
    values: int = 0


def redact_group(
    tracked: TrackedTable,
    columns: Sequence[Redactable],
    group: Group,
    *,
    run_id: int,
    using: str,
) -> Done:
    """Redacts a group of versions, in the transaction under way.

    One that is no longer where it was found is left: the next pass finds it, if it is anywhere.

    Raises:
        Vetoed: somebody protects one of them.
        SealBroken: one of them is not what was sealed.
    """
    redact_vetoes(tracked, group.picks, using=using)
    sections = list(
        # In one order, so that two redactions wait for each other and for nothing else.
        SealSection.objects.using(using)
        .select_for_update()
        .filter(pk__in=group.sections)
        .order_by("pk")
    )
    taking = Taking(
        names={name for column in columns for name in column.kept},
        entries={column.entry for column in columns},
    )
    names = version_names(tracked, using=using)
    values = versions = 0
    for partition, picks in _by_partition(group.picks).items():
        table = _name(partition, using)
        if table is None:
            continue
        rows = _rows(table, tracked, picks, names, using)
        values += values_take(sections, list(rows.values()), taking, run_id=run_id, using=using)
        versions += _clear(table, columns, list(rows), using)
    return Done(versions, values)


def _by_partition(picks: Sequence[Pick]) -> dict[int, list[Pick]]:
    found: dict[int, list[Pick]] = {}
    for pick in picks:
        found.setdefault(pick.partition, []).append(pick)
    return found


def _name(partition: int, using: str) -> Identifier | None:
    """None when its term ended meanwhile."""
    with connections[using].cursor() as cursor:
        cursor.execute(_PARTITION, [partition])
        row = cursor.fetchone()
    return Identifier(*row) if row else None


def _rows(
    table: sql.Composable,
    tracked: TrackedTable,
    picks: Sequence[Pick],
    names: Sequence[str],
    using: str,
) -> dict[str, SealedRow]:
    """The versions by where they are, locked."""
    wanted = {pick.ctid: pick for pick in picks}
    at = sql.SQL("h.ctid = ANY ({}::pg_catalog.tid[])").format(sql.Literal(list(wanted)))
    with connections[using].cursor() as cursor:
        cursor.execute(sql.SQL("SELECT FROM ONLY {} AS h WHERE {} FOR UPDATE").format(table, at))
    found = {}
    for fields in lines(
        sql.SQL("ONLY {}").format(table),
        control=[sql.SQL("h.ctid")],
        fields=[*VERSION_META, *names],
        where=at,
        tail=sql.SQL(""),
        using=using,
    ):
        pick = wanted[fields[0].decode()]
        meta = fields[1 : 1 + len(VERSION_META)]
        if int(meta[_SEQ]) != pick.seq:
            continue  # Another version took its place in the table.
        found[pick.ctid] = SealedRow(
            number=pick.seq,
            tag=tag(pick.record_id.encode()),
            meta=b"\t".join(meta),
            values=dict(zip(names, fields[1 + len(VERSION_META) :], strict=True)),
            title=f"Version {pick.seq} of {tracked}",
        )
    return found


def _clear(
    table: sql.Composable, columns: Sequence[Redactable], ctids: Sequence[str], using: str
) -> int:
    """Takes the values away. Returns of how many versions."""
    if not ctids:
        return 0
    entries = [column.entry for column in columns]
    sets = [sql.SQL("{} = NULL").format(Identifier(name)) for each in columns for name in each.kept]
    sets.append(
        sql.SQL("{rest} = NULLIF({rest} - {gone}::pg_catalog.text[], '{{}}')").format(
            rest=Identifier(REST), gone=sql.Literal(entries)
        )
    )
    with connections[using].cursor() as cursor:
        cursor.execute(
            sql.SQL("UPDATE ONLY {} SET {} WHERE ctid = ANY ({}::pg_catalog.tid[])").format(
                table, sql.SQL(", ").join(sets), sql.Literal(list(ctids))
            )
        )
        return int(cursor.rowcount)
