"""The page of one statement: who and why, and its rows before and after."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.utils.html import format_html
from django.utils.safestring import SafeString

from auditing.admin.own import may_put_back, may_see_rows
from auditing.admin.record_links import record_link, record_url
from auditing.admin.record_words import IN_A_LIST, DifferenceLine, difference_lines, value
from auditing.admin.statement_facts import purge_facts, siblings, statement_facts
from auditing.admin.words import operation_name, what
from auditing.models import ChangeStatement, Operation
from auditing.selectors.change_rows import RowChange, statement_rows
from auditing.selectors.images import Image, Shape
from auditing.selectors.versions import ColumnDifference
from operations.admin.show import badge

ROWS_A_PAGE = 25
MOST_VALUES = 6
"""Values of a row that came or went that are shown; its page has all."""
_DIGITS = 18


def statement_page(
    statement: ChangeStatement, user: User | AnonymousUser, *, after: str = ""
) -> dict[str, Any]:
    """The context of `auditing/statement.html`; `after` is the place of a further page of rows."""
    place = int(after) if after.isdecimal() and len(after) <= _DIGITS else 0
    sees = may_see_rows(user, statement.tracked)
    page = statement_rows(statement, after=place, limit=ROWS_A_PAGE) if sees else None
    purge = statement.operation == Operation.PURGE
    return {
        "statement": statement,
        "title": what(statement),
        "original": what(statement),
        "badges": [badge(*operation_name(statement))],
        "facts": [*purge_facts(statement, user), *statement_facts(statement, user)],
        "rows": [row_line(page.shape, row) for row in page.rows] if page is not None else [],
        "next_after": page.next_after if page is not None else None,
        "hidden": not sees,
        "after": place,
        "purge": purge,
        "may_revert": not purge and may_put_back(user, statement.tracked),
        **siblings(statement),
    }


def row_line(shape: Shape, row: RowChange) -> dict[str, Any]:
    """A row: its record, and what became of it."""
    tracked = shape.tracked.pk
    came, went = row.before is None, row.after is None
    return {
        "record": record_link(tracked, row.record_id),
        "url": record_url(tracked, row.record_id),
        "was": record_link(tracked, row.was) if row.was is not None else None,
        "differences": [] if came or went else _differences(shape, row),
        **_values(shape, row.after if came else row.before if went else None),
        "went": went,
        "came": came and row.operation == Operation.INSERT,
        # Of an update whose version before was retired, or never kept.
        "unknown": came and row.operation == Operation.UPDATE,
    }


def _differences(shape: Shape, row: RowChange) -> list[DifferenceLine]:
    before, after = row.before or {}, row.after or {}
    found = [
        ColumnDifference(
            column.attnum,
            column.name,
            before.get(column.attnum),
            after.get(column.attnum),
            masked=column.masked,
            old_there=column.attnum in before,
            new_there=column.attnum in after,
        )
        for column in shape.columns
        if (column.masked and column.attnum in row.changed)
        or (not column.masked and before.get(column.attnum) != after.get(column.attnum))
    ]
    return difference_lines(shape, found, most=IN_A_LIST)


def _values(shape: Shape, image: Image | None) -> dict[str, Any]:
    if image is None:
        return {"values": [], "more_values": 0}
    shown = [
        (column.name, _short(text))
        for column in shape.columns
        if (text := image.get(column.attnum)) is not None and column.key_position is None
    ]
    return {"values": shown[:MOST_VALUES], "more_values": max(len(shown) - MOST_VALUES, 0)}


def _short(text: str) -> SafeString:
    return format_html("{}", value(text, most=80))
