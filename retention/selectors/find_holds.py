"""Which of the records that were found are held, and by which hold."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.finding import LEAST, Hit, Search, Source
from operations.record_ids import NoRecordId, given_keys, key_values, record_id, same_key
from retention.models import HeldRow, HoldScope
from retention.selectors.hold_scopes import ScopeHere, scopes_of
from retention.selectors.holds import holds_of_table


class Holds(Source):
    """Finds nothing by itself: it says of what was found that it must not go."""

    name = "holds"
    weights = {}  # noqa: RUF012

    def about(self, hits: Sequence[Hit], search: Search) -> None:
        if search.user is not None and not search.user.has_perm("retention.view_legalhold"):
            return
        if not HoldScope.objects.filter(hold__released_at=None, database=search.using).exists():
            return
        for name in dict.fromkeys(hit.table for hit in hits):
            if search.left < LEAST:
                search.miss("holds")
                return
            _tell([hit for hit in hits if hit.table == name], name, search)
        for hit in hits:
            hit.held = list(dict.fromkeys(hit.held))


def _tell(hits: Sequence[Hit], name: TableName, search: Search) -> None:
    try:
        table = search.tables.get(name) or read_table(name, using=search.using)
    except NoSuchTable:
        # Archives of it are kept while anybody holds a table of this name.
        by = [str(hold) for hold in holds_of_table(name, using=search.using)]
        for hit in hits:
            hit.held += by
        return
    here = scopes_of(table, using=search.using)
    named = [each for each in here if each.named]
    if named:
        _named(hits, named)
    for each in here:
        if each.rows is None:
            for hit in hits:
                hit.held.append(each.by)
        elif not each.named:
            _conditional(hits, each, table, search)


def _named(hits: Sequence[Hit], here: Sequence[ScopeHere]) -> None:
    by = {each.scope.pk: each.by for each in here}
    ids = [hit.record_id for hit in hits if hit.keyed]
    rows = HeldRow.objects.filter(scope_id__in=by, record_id__in=ids)
    for scope_id, record in rows.values_list("scope_id", "record_id"):
        for hit in hits:
            if hit.record_id == record:
                hit.held.append(by[scope_id])


def _conditional(hits: Sequence[Hit], scope: ScopeHere, table: Table, search: Search) -> None:
    """Of rows that are there: what a condition says of one that is gone nobody can tell."""
    there = [
        hit
        for hit in hits
        if hit.keyed and any(place.kind in ("live", "bin") for place in hit.places)
    ]
    if not there or scope.rows is None:
        return
    try:
        keys = given_keys([key_values(hit.record_id, table) for hit in there], table)
        query = sql.SQL(
            "SELECT {} FROM {} t WHERE EXISTS (SELECT FROM {} k WHERE {}) AND ({}) IS NOT FALSE"
        ).format(record_id(table), table.name.sql, keys, same_key(table, "t", "k"), scope.rows)
    except NoRecordId:
        return
    held = {row[0] for row in search.rows(f"hold {scope.scope.hold.case_id}", query, {})}
    for hit in there:
        if hit.record_id in held:
            hit.held.append(scope.by)
