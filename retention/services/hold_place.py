"""Placing a hold: checked first, and in force before the call returns.

Invariant: the last thing before the commit is to wait until nothing is being destroyed
(`vetoes.settle`). So whatever destroys either committed before the hold was placed, or sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.contrib.auth.models import User
from django.db import DataError, IntegrityError, OperationalError, connections, transaction
from psycopg import errors, sql

from operations import vetoes
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table, TableName
from operations.conditions.check import check_condition
from operations.conditions.nodes import Condition
from operations.conditions.parse import parse_condition
from operations.conditions.render import render
from operations.conditions.structure import to_json
from operations.exceptions import CustodyError
from operations.record_ids import NoRecordId, given_keys, key_columns, key_values, record_id
from operations.record_ids import same_key as same
from retention.exceptions import HoldRefused
from retention.models import HoldScope, LegalHold
from retention.selectors.hold_counts import Amount, rows_counted
from retention.selectors.hold_scopes import scope_shape

_NAMED = 5
"""Missing rows that a refusal names."""
_ANALYZE_FROM = 1_000


@dataclass(frozen=True)
class ScopeAsked:
    """What somebody wants held: a whole table, or its rows by a condition or by their keys."""

    table: TableName | str
    where: str = ""
    """SQL, as `parse_condition` reads it."""
    rows: Sequence[str] | None = None
    """Keys: `4711`, `a,b`, or JSON. None: rows are not named one by one."""
    missing_ok: bool = False
    """A key without a row is held too: the row may be in an archive, or come back."""


@dataclass(frozen=True)
class ScopeChecked:
    """The same, understood."""

    table: Table
    kind: HoldScope.Kind
    condition: Condition | None
    keys: tuple[tuple[str, ...], ...]
    missing_ok: bool

    @property
    def given(self) -> sql.Composed:
        """The named keys as a relation."""
        return given_keys(self.keys, self.table)


@dataclass(frozen=True)
class ScopeCovers:
    """What a scope would hold as things are."""

    asked: ScopeChecked
    rows: Amount
    missing: int
    """Keys without a row."""


@dataclass(frozen=True)
class HoldPlaced:
    hold: LegalHold
    scopes: tuple[HoldScope, ...]
    added: bool
    """The case had an active hold already: it has these scopes now too."""


def scope_check(asked: ScopeAsked, *, using: str = "default") -> ScopeChecked:
    """Reads what was asked for against the table as it is.

    Raises:
        NoSuchTable, AmbiguousTableName, ConditionRefused, NoRecordId: with what to write instead.
        HoldRefused: it asks for two things, or names no row.
    """
    table = read_table(asked.table, using=using)
    condition = None
    keys: tuple[tuple[str, ...], ...] = ()
    kind = HoldScope.Kind.TABLE
    if asked.where.strip() and asked.rows is not None:
        raise HoldRefused("A condition or named rows, not both: place two scopes.")
    if asked.where.strip():
        kind = HoldScope.Kind.CONDITION
        condition = parse_condition(asked.where, table)
        check_condition(condition, table, using=using)
    elif asked.rows is not None:
        kind = HoldScope.Kind.ROWS
        texts = [text.strip() for text in asked.rows if text.strip()]
        if not texts:
            raise HoldRefused("No row is named.")
        keys = tuple(key_values(text, table) for text in dict.fromkeys(texts))
    return ScopeChecked(table, kind, condition, keys, asked.missing_ok)


def hold_preview(asked: ScopeAsked, *, using: str = "default") -> ScopeCovers:
    """How many rows the scope would hold now. Raises what `hold_place` does."""
    scope = scope_check(asked, using=using)
    if scope.kind == HoldScope.Kind.TABLE:
        rows = Amount(max(scope.table.estimated_rows, 0), estimated=True)
        return ScopeCovers(scope, rows, 0)
    if scope.condition is not None:
        unless = sql.SQL("({}) IS NOT FALSE").format(
            render(scope.condition, scope.table, alias="t")
        )
        return ScopeCovers(scope, rows_counted(scope.table, unless, using=using), 0)
    found, missing = _looked_up(scope, using)
    _refuse(scope, missing)
    return ScopeCovers(scope, Amount(found), len(missing))


def hold_place(
    *,
    case_id: str,
    reason: str,
    scopes: Sequence[ScopeAsked],
    placed_by: User,
    review_on: date | None = None,
    using: str = "default",
) -> HoldPlaced:
    """Holds the rows of the scopes for a case; they are safe when this returns.

    A case with an active hold gets further scopes; its reason and review stay as they are unless a
    review date is given.

    Raises:
        HoldRefused: a named row is not there; nothing was placed.
        CustodyError: what `scope_check` says, or something that destroys would not end.
    """
    if not case_id.strip():
        raise HoldRefused("A hold needs the id of its case.")
    if not reason.strip():
        raise HoldRefused("A hold needs a reason.")
    if not scopes:
        raise HoldRefused("A hold needs at least one table.")
    checked = [scope_check(each, using=using) for each in scopes]
    try:
        with transaction.atomic(using=using):
            placed = _place(
                case_id=case_id.strip(),
                reason=reason.strip(),
                checked=checked,
                placed_by=placed_by,
                review_on=review_on,
                using=using,
            )
            vetoes.settle(using=using)
            # Looked at again, now that nothing can go any more.
            for scope in checked:
                _refuse_missing(scope, using)
    except IntegrityError as error:
        raise HoldRefused(
            f"Somebody placed a hold for {case_id} in the same moment. Try again: this is added."
        ) from error
    except OperationalError as error:
        if isinstance(error.__cause__, errors.LockNotAvailable):
            raise CustodyError(
                f"Something has been destroying rows for over {vetoes.LOCK_SECONDS} s in one "
                "transaction: nothing was placed. See manage.py run_list --open, then try again."
            ) from error
        raise
    return placed


def _place(
    *,
    case_id: str,
    reason: str,
    checked: Sequence[ScopeChecked],
    placed_by: User,
    review_on: date | None,
    using: str,
) -> HoldPlaced:
    hold = LegalHold.objects.select_for_update().filter(case_id=case_id, released_at=None).first()
    added = hold is not None
    if hold is None:
        hold = LegalHold(case_id=case_id, reason=reason, placed_by=placed_by)
    if review_on is not None:
        hold.review_on = review_on
    said = ", ".join(str(scope.table.name) for scope in checked)
    hold._history_user = placed_by  # type: ignore[attr-defined]
    hold._change_reason = f"{said}: {reason}"[:100]  # type: ignore[attr-defined]
    hold.save()
    return HoldPlaced(hold, tuple(_scope(hold, each, placed_by, using) for each in checked), added)


def _scope(hold: LegalHold, checked: ScopeChecked, added_by: User, using: str) -> HoldScope:
    table = checked.table
    scope = HoldScope.objects.create(
        hold=hold,
        database=using,
        schema_name=table.name.schema,
        table_name=table.name.name,
        kind=checked.kind,
        condition=to_json(checked.condition) if checked.condition else None,
        table_oid=table.oid,
        shape=scope_shape(table, checked.condition, using=using),
        added_by=added_by,
    )
    if checked.keys:
        _refuse_missing(checked, using)
        _name_rows(scope, checked, using)
    return scope


def _name_rows(scope: HoldScope, checked: ScopeChecked, using: str) -> None:
    insert = sql.SQL(
        "INSERT INTO custody.retention_heldrow (scope_id, record_id)"
        " SELECT DISTINCT {scope}::bigint, {record_id} FROM {given} k"
    ).format(
        scope=sql.Literal(scope.pk),
        record_id=record_id(checked.table, alias="k"),
        given=checked.given,
    )
    with connections[using].cursor() as cursor:
        cursor.execute(insert)
        if cursor.rowcount >= _ANALYZE_FROM:
            # Every batch from now on plans with what this table holds.
            cursor.execute("ANALYZE custody.retention_heldrow")


def _refuse_missing(scope: ScopeChecked, using: str) -> None:
    if not scope.keys or scope.missing_ok:
        return
    _refuse(scope, _looked_up(scope, using)[1])


def _refuse(scope: ScopeChecked, missing: list[str]) -> None:
    if missing and not scope.missing_ok:
        named = ", ".join(missing[:_NAMED]) + (" and others" if len(missing) > _NAMED else "")
        raise HoldRefused(
            f"{len(missing):,} of the named rows are not in {scope.table.name}: {named}. "
            "Nothing was placed. Mend the keys; or say --missing-ok to hold those as well, as for "
            "rows that are in an archive."
        )


def _looked_up(scope: ScopeChecked, using: str) -> tuple[int, list[str]]:
    """How many of the named rows are in the table, and the record ids of those that are not."""
    first = key_columns(scope.table)[0]
    query = sql.SQL(
        "SELECT (SELECT count(*) FROM found WHERE there),"
        " ARRAY(SELECT id FROM found WHERE NOT there ORDER BY id)"
    )
    found = sql.SQL(
        "WITH found AS MATERIALIZED (SELECT DISTINCT {record_id} AS id, t.{first} IS NOT NULL"
        " AS there FROM {given} k LEFT JOIN {table} t ON {same})"
    ).format(
        record_id=record_id(scope.table, alias="k"),
        first=first.sql,
        given=scope.given,
        table=scope.table.name.sql,
        same=same(scope.table, "t", "k"),
    )
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(sql.SQL("{} {}").format(found, query))
            there, missing = cursor.fetchone()
    except DataError as error:
        said = " ".join(str(error).split())
        raise NoRecordId(f"A key is none of {scope.table.name}: {said}") from error
    return there, list(missing)
