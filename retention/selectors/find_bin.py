"""Records in the bin: rows of tables with soft delete that have a deletion's number."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql

from operations.catalogue.read import tables_by_oid
from operations.catalogue.types import Table, TableName
from operations.finding import Hit, Person, Place, Search, Source, Stage, Standing
from operations.selectors.find_live import rows_about
from operations.selectors.find_rows import TableSearch, indexed_columns
from retention.models import Deletion
from retention.selectors.softdelete import softdelete_tables

BIN = "bin"
_IN_BIN = sql.SQL("(t.deletion_id IS NOT NULL)")
_PLACE = Place(BIN, 1, "in the bin")
_NUMBER = (sql.SQL("t.deletion_id"),)


class BinRows(Source):
    """By the partial index of what is in the bin: the table's size makes no difference."""

    name = BIN
    standing = Standing(BIN, 1, "In the bin", "in the bin", "In the bin", settles=True)
    weights = {Stage.EXACT: 2.5, Stage.TELLING: 4.0, Stage.DEEP: 1.0}  # noqa: RUF012

    def tables(self, *, using: str) -> set[TableName]:
        return {table.name for table in _enabled(using)}

    def shows(self, user: Person, *, using: str) -> Callable[[TableName], bool]:
        """Who may restore has to know a record again."""
        return self.tables(using=using).__contains__ if self.open_to(user) else lambda _: False

    def open_to(self, user: Person) -> bool:
        return user.has_perm("retention.view_deletion") and user.has_perm(_MAY_RESTORE)

    def apart(self, table: Table, *, using: str) -> sql.Composable | None:
        oids = softdelete_tables(using=using).values_list("table_oid", flat=True)
        return _IN_BIN if table.oid in set(oids) and _has_bin(table) else None

    def find(self, search: Search, stage: Stage) -> Iterator[Hit]:
        found = self._tables(search)
        indexed = indexed_columns(found, using=search.using) if stage is Stage.EXACT else {}
        for table in found:
            asking = _asking(search, table)
            rows = (
                asking.by_index(indexed[table.oid])
                if stage is Stage.EXACT
                else asking.through(deep=stage is Stage.DEEP)
            )
            told = list(rows)
            deletions = _deletions([extra for _, extra in told], search.using)
            for hit, extra in told:
                hit.places = [_told(_PLACE, hit, deletions.get(int(extra[0])))]
                yield hit

    def stands(self, hits: Sequence[Hit], search: Search) -> None:
        """Whether a record that was found in the history, or before it was changed, is in it."""
        rows_about(hits, [_asking(search, table) for table in self._tables(search)], _numbered)

    def about(self, hits: Sequence[Hit], search: Search) -> None:
        """Of records that others found: the deletion."""
        bare = {
            place.facts["deletion"]: (hit, place)
            for hit in hits
            for place in hit.places
            if place.kind == BIN and not place.command
        }
        deletions = Deletion.objects.using(search.using).in_bulk(bare)
        for number, (hit, place) in bare.items():
            hit.places.remove(place)
            hit.places.append(_told(_PLACE, hit, deletions.get(number)))

    def _tables(self, search: Search) -> list[Table]:
        if BIN not in search.kept:
            may = self.shows(search.user, using=search.using) if search.user is not None else None
            search.kept[BIN] = [
                search.open_columns(table)
                for table in _enabled(search.using)
                if search.wants(table.name) and (may is None or may(table.name))
            ]
        kept: list[Table] = search.kept[BIN]
        return kept


_MAY_RESTORE = "retention.restore_record"


def _enabled(using: str) -> list[Table]:
    oids = list(softdelete_tables(using=using).values_list("table_oid", flat=True))
    found = tables_by_oid(oids, using=using).values()
    return sorted((table for table in found if _has_bin(table)), key=lambda table: table.name)


def _has_bin(table: Table) -> bool:
    return table.column("deletion_id") is not None


def _asking(search: Search, table: Table) -> TableSearch:
    return TableSearch(search, table, _PLACE, _IN_BIN, _NUMBER, f"bin of {table.name}", False)


def _numbered(place: Place, extra: tuple[Any, ...]) -> Place:
    return replace(place, facts={"deletion": int(extra[0])})


def _deletions(extras: Sequence[tuple[Any, ...]], using: str) -> dict[int, Deletion]:
    return Deletion.objects.using(using).in_bulk({int(extra[0]) for extra in extras})


def _told(place: Place, hit: Hit, deletion: Deletion | None) -> Place:
    """Whole when the deletion began with this record, else this record with what hangs on it."""
    if deletion is None:
        return place
    root = deletion.record_id == hit.record_id and deletion.table == hit.table
    only = "" if root else f" --only {shlex.join([str(hit.table), hit.record_id])}"
    over = deletion.state != Deletion.State.DELETED
    return replace(
        place,
        what=f"in the bin, deletion {deletion.pk}"
        + (f", {deletion.get_state_display().lower()}" if over else ""),
        at=deletion.deleted_at,
        by=deletion.actor,
        why=deletion.reason,
        command="" if over else f"record_restore {deletion.pk}{only}",
        button="Its deletion" if over else "Restore",
        address=(
            "admin:retention_deletion_change" if over else "admin:retention_deletion_restore",
            (deletion.pk,),
            "",
        ),
        needs="retention.view_deletion" if over else _MAY_RESTORE,
        facts={"deletion": deletion.pk, "state": deletion.state, "whole": root},
    )
