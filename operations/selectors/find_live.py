"""Records where they live: in the tables of the applications."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from psycopg import sql

from operations.catalogue.read import OWN_SCHEMAS, tables
from operations.catalogue.types import Table
from operations.finding import Hit, Place, Search, Source, Stage, Standing, sources
from operations.masking_words import words
from operations.readable import identifies
from operations.selectors.find_rows import Indexed, TableSearch, indexed_columns

LIVE = Place("live", 0, "in its table")
_MAIL = frozenset({"email", "mail"})
_HIDDEN = "row-level security hides rows of it from the console"


class LiveRows(Source):
    """Governed tables first, then the other tables of their schemas; small ones before large."""

    name = "live tables"
    standing = Standing("live", 0, "Live", "live", "Live", settles=True)
    weights = {Stage.EXACT: 3.0, Stage.TELLING: 7.0, Stage.DEEP: 3.0}  # noqa: RUF012

    def find(self, search: Search, stage: Stage) -> Iterator[Hit]:
        for asking, indexed in _asked_of(search):
            if stage is Stage.EXACT:
                if asking.table.row_security:
                    search.miss(str(asking.table.name), _HIDDEN)
                rows = asking.by_index(indexed)
            else:
                known = indexed.unique | indexed.others
                rows = asking.through(deep=stage is Stage.DEEP, without=known)
            yield from (hit for hit, _ in rows)

    def stands(self, hits: Sequence[Hit], search: Search) -> None:
        """Whether a record that was found elsewhere is live too, with other values by now."""
        rows_about(hits, live_searches(search))


def rows_about(
    hits: Sequence[Hit],
    searches: Sequence[TableSearch],
    told: Callable[[Place, tuple[Any, ...]], Place] = lambda place, _: place,
) -> None:
    """Adds a table's place to hits of other sources whose row is in it.

    Args:
        told: the place of a row, from the common one and the `extra` values of the row.
    """
    for asking in searches:
        kind = asking.place.kind
        there = {
            hit.record_id: hit
            for hit in hits
            if hit.table == asking.table.name
            and hit.keyed
            and not any(place.kind in (kind, LIVE.kind) for place in hit.places)
        }
        for found, extra in asking.of_ids(list(there)) if there else ():
            if found.record_id in there:
                hit = there[found.record_id]
                hit.places.append(told(asking.place, extra))
                hit.values = found.values or hit.values


def live_searches(search: Search) -> list[TableSearch]:
    """The tables whose rows are told, for other sources too."""
    return [asking for asking, _ in _asked_of(search)]


def _asked_of(search: Search) -> list[tuple[TableSearch, Indexed]]:
    """The tables that are asked, in the order in which they are; found out once a search."""
    if LIVE.kind not in search.kept:
        found = _chosen(search)
        search.tables |= {table.name: table for table in found}
        indexed = indexed_columns(found, using=search.using)
        search.kept[LIVE.kind] = [
            (
                TableSearch(search, search.open_columns(table), LIVE, _not_apart(table, search)),
                indexed[table.oid],
            )
            for table in found
        ]
    kept: list[tuple[TableSearch, Indexed]] = search.kept[LIVE.kind]
    return kept


def _chosen(search: Search) -> list[Table]:
    governed = {name for source in sources() for name in source.tables(using=search.using)}
    schemas = {name.schema for name in (*governed, *search.only)} - set(OWN_SCHEMAS)
    found = [
        table
        for table in tables(using=search.using, schemas=schemas or None)
        if table.partition_of is None
        and table.kind != "foreign"
        and table.name.schema not in OWN_SCHEMAS
        and search.wants(table.name)
    ]
    if search.user is not None and not search.user.is_superuser:
        shown = [source.shows(search.user, using=search.using) for source in sources()]
        hidden = [t for t in found if not any(may(t.name) for may in shown)]
        for table in hidden:
            search.miss(str(table.name), "the console does not show you its rows")
        found = [table for table in found if table not in hidden]
    return sorted(
        found, key=lambda t: (t.name not in governed, not _is_of_people(t), t.estimated_bytes)
    )


def _is_of_people(table: Table) -> bool:
    """It has mail addresses: whoever is on the telephone is looked for there first."""
    return any(
        words(column.name) & _MAIL and identifies(column) and column.not_null
        for column in table.columns
    )


def _not_apart(table: Table, search: Search) -> sql.Composable | None:
    told = [source.apart(table, using=search.using) for source in sources()]
    parts = [sql.SQL("NOT {}").format(each) for each in told if each is not None]
    return sql.SQL(" AND ").join(parts) if parts else None
