"""Reads of legal holds: which there are, and what they touch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from django.db import DataError, connections, transaction
from django.db.models import F, Q, QuerySet
from psycopg import sql

from operations.catalogue.names import parse_table_name
from operations.catalogue.types import Table, TableName
from operations.record_ids import PLACE, NoRecordId, given_keys, key_values, record_id, same_key
from operations.vetoes import Protection
from retention.exceptions import HoldRefused, NoSuchHold
from retention.models import LegalHold
from retention.selectors.hold_scopes import ScopeHere, protections_of, scopes_of
from retention.selectors.queries import rows

VETO = "legal holds"
_SHOWN = 10


class HoldVeto:
    """Legal holds, as whatever destroys asks them."""

    def protections(self, table: Table, *, using: str) -> Iterator[Protection]:
        yield from protections_of(scopes_of(table, using=using))

    def holders(self, name: TableName, *, using: str) -> Iterator[str]:
        for hold in holds_of_table(name, using=using):
            yield str(hold)


def hold_get(case_id: str) -> LegalHold:
    """The active hold of this case, else the one that was released last. Raises NoSuchHold."""
    holds = LegalHold.objects.select_related("placed_by", "released_by")
    found = holds.filter(case_id=case_id).order_by(F("released_at").desc(nulls_first=True)).first()
    if found is not None:
        return found
    known = list(holds.filter(released_at=None).values_list("case_id", flat=True)[: _SHOWN + 1])
    names = ", ".join(known[:_SHOWN]) + (" and more" if len(known) > _SHOWN else "")
    raise NoSuchHold(
        f"There is no hold for a case {case_id!r}. "
        + (f"Active ones: {names}." if known else "There is no active one.")
    )


def hold_active(case_id: str) -> LegalHold:
    """The active hold of this case.

    Raises:
        NoSuchHold: none was placed for it.
        HoldRefused: it is released.
    """
    hold = hold_get(case_id)
    if not hold.active:
        raise HoldRefused(
            f"The {hold} was released on {hold.released_at:%Y-%m-%d} by {hold.released_by}."
        )
    return hold


def hold_list(*, released: bool = False, table: str | None = None) -> QuerySet[LegalHold]:
    """Newest first, with their scopes.

    Args:
        released: those too.
        table: NAME or SCHEMA.NAME; it need not exist any more. Of a partitioned table only the
            holds that name it.

    Raises:
        BadTableName: the text is no name of a table.
    """
    holds = LegalHold.objects.select_related("placed_by", "released_by").prefetch_related(
        "scopes__added_by"
    )
    if not released:
        holds = holds.filter(released_at=None)
    if table:
        schema, name = parse_table_name(table)
        of_table = Q(scopes__table_name=name)
        if schema is not None:
            of_table &= Q(scopes__schema_name=schema)
        holds = holds.filter(of_table).distinct()
    return holds


def holds_of_table(name: TableName, *, using: str = "default") -> list[LegalHold]:
    """The active holds on a table that may be gone: what they name, and what that belonged to.

    Also those on its partitions and on what it is a partition of, while these exist.
    """
    found = rows("scopes_of_name", _named(name, using), using=using)
    holds = LegalHold.objects.filter(pk__in={each["hold_id"] for each in found})
    return list(holds.order_by("id"))


def _named(name: TableName, using: str) -> dict[str, str]:
    return {"table": str(name), "schema": name.schema, "name": name.name, "database": using}


def holds_due_for_review(*, on: date) -> list[LegalHold]:
    """Active holds whose review is due on that day, the oldest first."""
    return list(
        LegalHold.objects.filter(released_at=None, review_on__lte=on).order_by("review_on", "id")
    )


def holds_on(
    table: Table, record_ids: Sequence[str], *, using: str = "default"
) -> dict[str, list[LegalHold]]:
    """Which holds touch each of these records; one that no hold touches is left out.

    Set-based, for a page of records. A record that is not in the table (it may be in an archive)
    counts as touched by every condition: whether that holds for it is unknown.

    Raises:
        NoRecordId: one of the texts is no key of this table.
    """
    here = scopes_of(table, using=using)
    if not here or not record_ids:
        return {}
    if all(each.rows is None for each in here):
        return {text: _holds(here) for text in record_ids}
    keys = [key_values(text, table) for text in record_ids]
    query = sql.SQL(
        "SELECT {touched} FROM {given} k LEFT JOIN LATERAL"
        " (SELECT t.tableoid, t.* FROM {table} t WHERE {same}) t ON true ORDER BY k.{place}"
    ).format(
        touched=sql.SQL(", ").join(_touched(each, table) for each in here),
        given=given_keys(keys, table, numbered=True),
        table=table.name.sql,
        same=same_key(table, "t", "k"),
        place=PLACE,
    )
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(query)
            found = cursor.fetchall()
    except DataError as error:
        raise NoRecordId(f"No key of {table.name}: {' '.join(str(error).split())}") from error
    return {
        text: holds
        for text, row in zip(record_ids, found, strict=True)
        if (holds := _holds([each for each, touched in zip(here, row, strict=True) if touched]))
    }


def _touched(each: ScopeHere, table: Table) -> sql.Composable:
    if each.rows is None:
        return sql.SQL("true")
    if each.named and table.key is not None and each.key == table.key.columns:
        # The record may be gone from the table: its id is asked for, not the row.
        inside = sql.SQL("t.tableoid IS NULL OR t.tableoid = ANY ({}::pg_catalog.oid[])").format(
            sql.Literal(list(each.within))
        )
        return sql.SQL(
            "EXISTS (SELECT FROM custody.retention_heldrow h WHERE h.scope_id = {}"
            ' AND h.record_id = {} COLLATE pg_catalog."default") AND ({})'
        ).format(
            sql.Literal(each.scope.pk),
            record_id(table, alias="k"),
            inside if each.within else sql.SQL("true"),
        )
    return sql.SQL("t.tableoid IS NULL OR ({}) IS NOT FALSE").format(each.rows)


def _holds(here: Sequence[ScopeHere]) -> list[LegalHold]:
    return list({each.scope.hold_id: each.scope.hold for each in here}.values())
