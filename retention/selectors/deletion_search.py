"""Finding a deletion by what a person remembers, in the rows of the bin themselves.

Nothing personal is copied into a deletion, so the rows are searched where they are: through the
index of `deletion_id`, from the newest deletion back, window after window, in turn for each table,
until a page is full or the time is over. What was not looked through by then is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from django.utils import timezone
from psycopg import sql

from operations.catalogue.read import tables_by_oid
from operations.catalogue.types import TableName
from retention.models import Deletion
from retention.selectors.deletion_conditions import (
    BY_NUMBER,
    all_of,
    days,
    holds_word,
    newest,
    others,
)
from retention.selectors.deletion_page import LOOKED_AT
from retention.selectors.deletion_windows import Look, looks_at
from retention.selectors.deletions import DeletionFilter
from retention.selectors.preview_budget import Budget, TooSlow
from retention.selectors.remembered import Remembered
from retention.selectors.softdelete import softdelete_tables

SECONDS = 3.0
"""For all that is looked through."""
_END = 2**62
"""No deletion has a higher number."""


@dataclass(frozen=True)
class Hit:
    """Why a deletion was found: a row of it, or what it says itself."""

    table: TableName | None = None
    record_id: str = ""


@dataclass(frozen=True)
class Found:
    deletions: list[Deletion]
    """By number, the newest first."""
    older: int | None
    """The deletion before which the next page begins; None where there is none."""
    hits: dict[int, Hit] = field(default_factory=dict)
    unfinished: tuple[TableName, ...] = ()
    """Tables that there was no time to look through to the end."""
    looked_back_to: datetime | None = None
    """Set when the page ends because the time was over."""


def deletion_search(
    remembered: Remembered,
    asked: DeletionFilter,
    *,
    rows: bool,
    before: int | None = None,
    size: int = 50,
    using: str = "default",
) -> Found:
    """The newest deletions before `before` with a row, or words of their own, that fit.

    Args:
        rows: look into the rows, and at record ids; a search tells of a value whether it is there,
            so only for who may see them.
    """
    end = before if before is not None else _END
    found = _by_itself(remembered, asked, end, size, rows=rows, using=using)
    texts, documents = _look(remembered, asked, end, size, using) if rows else ([], [])
    for look in (*texts, *documents):
        for number, record in look.found.items():
            found.setdefault(number, Hit(look.table.name, record))
    # What lies below the place to which an unfinished table was looked through may have a gap.
    came_to = [look.passed for look in texts if not look.done and look.passed < end]
    floor = max(came_to, default=0)
    numbers = sorted((number for number in found if number >= floor), reverse=True)
    known = sql.SQL("d.id = ANY ({}::bigint[])").format(sql.Literal(numbers))
    chosen = newest(
        [known],
        [*days(asked), *others(asked)],
        order=BY_NUMBER,
        looked_at=len(numbers),
        most=size + 1,
        using=using,
    )
    hits = {each.pk: found[each.pk] for each in chosen[:size]}
    left = [look.table.name for look in (*texts, *documents) if not look.done]
    unfinished = tuple(dict.fromkeys(left))
    if len(chosen) > size:
        return Found(chosen[:size], chosen[size - 1].pk, hits)
    return Found(chosen, floor or None, hits, unfinished, _moment(floor))


def _moment(number: int) -> datetime | None:
    later = Deletion.objects.filter(pk__gte=number).order_by("pk")
    return later.values_list("deleted_at", flat=True).first() if number else None


def _by_itself(
    remembered: Remembered, asked: DeletionFilter, end: int, size: int, *, rows: bool, using: str
) -> dict[int, Hit]:
    """By its number, who deleted it, why, and when."""
    words = [all_of([_said(word, rows=rows) for word in remembered.words])]
    if remembered.number is not None:
        words.append(sql.SQL("d.id = {}").format(sql.Literal(remembered.number)))
    if remembered.day is not None:
        first, last = _bounds(remembered.day)
        words.append(all_of(days(DeletionFilter(since=first, until=last))))
    near = newest(
        [sql.SQL("d.id < {}").format(sql.Literal(end))],
        [
            sql.SQL("(({}))").format(sql.SQL(") OR (").join(words)),
            *days(asked),
            *others(asked),
        ],
        order=BY_NUMBER,
        looked_at=LOOKED_AT,
        most=size + 1,
        using=using,
    )
    numbers = [each.pk for each in near]
    if remembered.number is not None and remembered.number < end:
        numbers.append(remembered.number)
    return {number: Hit() for number in numbers}


def _said(word: str, *, rows: bool) -> sql.Composable:
    parts = [holds_word("d.actor", word), holds_word("d.reason", word)]
    if rows:
        parts.append(sql.SQL("d.record_id = {}").format(sql.Literal(word)))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts))


def _bounds(day: date) -> tuple[datetime, datetime]:
    zone = timezone.get_current_timezone()
    first = datetime.combine(day, time.min, zone)
    return first, datetime.combine(day + timedelta(days=1), time.min, zone)


def _look(
    remembered: Remembered, asked: DeletionFilter, end: int, size: int, using: str
) -> tuple[list[Look], list[Look]]:
    """In turn a window of each table, until all is looked through or the time is over."""
    oids = list(softdelete_tables(using=using).values_list("table_oid", flat=True))
    tables = [
        table
        for table in tables_by_oid(oids, using=using).values()
        if table.column("deletion_id") is not None
    ]
    budget = Budget(SECONDS)
    tables.sort(key=lambda table: table.name)
    looks = looks_at(tables, remembered, asked, end, using=using)
    try:
        for part in looks:
            waiting = part
            while waiting:
                for look in waiting:
                    look.step(budget, size=size, using=using)
                waiting = [look for look in waiting if not look.done]
    except TooSlow:
        pass
    return looks
