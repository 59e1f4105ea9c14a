"""Versions, statements and restores as JSON and as lines. Times are whole: one that was cut to the
millisecond would lie before its own change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditing.models import ChangeStatement, Operation
from auditing.selectors.images import Image, ImageColumn, Shape
from auditing.selectors.versions import ColumnDifference, Version
from auditing.services.record_restore import Restored
from operations.catalogue.identifiers import quoted

WIDEST = 60
"""Characters of a value in a line."""
MASKED = "(masked)"
REDACTED = "(redacted)"


def image_json(shape: Shape, image: Image) -> dict[str, str | None]:
    """By name, as PostgreSQL prints the values; of columns of one name that of today is named."""
    found = {}
    for column in shape.columns:
        if column.attnum in image:
            gone = column.live is None and shape.named(column.name) is not None
            found[f"{column.name} (dropped)" if gone else column.name] = image[column.attnum]
    return found


def version_json(shape: Shape, version: Version) -> dict[str, Any]:
    context = version.context
    return {
        "number": version.number,
        "seq": version.seq,
        "operation": Operation(version.operation).label,
        "exists": version.exists,
        "at": version.at.isoformat(),
        "record_id": version.record_id,
        "was": version.was,
        "now": version.now,
        "statement": version.statement,
        "transaction": version.xid,
        "actor": version.actor,
        "claimed": context.claimed if context else None,
        "user_id": context.user_id or None if context else None,
        "user_email": context.user_email or None if context else None,
        "reason": context.reason or None if context else None,
        "request_id": context.request_id or None if context else None,
        "session_user": version.session_user,
        "client": version.client_addr,
        "changed": names_of(shape, version.changed),
        "values": image_json(shape, version.values),
        "redacted": names_of(shape, sorted(version.redacted)),
        "name": version.note.name or None if version.note else None,
        "comment": version.note.comment or None if version.note else None,
    }


def names_of(shape: Shape, attnums: Sequence[int]) -> list[str]:
    return [column.name for each in attnums if (column := shape.column(each)) is not None]


def version_row(shape: Shape, version: Version) -> list[str]:
    what = Operation(version.operation).label.lower()
    if version.was:
        what += f", was {version.was}"
    if version.now:
        what += f", now {version.now}"
    changed = ", ".join(map(quoted, names_of(shape, version.changed)))
    said = version.context.reason if version.context else ""
    named = version.note.name if version.note else ""
    return [
        str(version.number),
        f"{version.at:%Y-%m-%d %H:%M:%S}",
        what,
        changed,
        version.actor,
        short(said),
        named,
    ]


def difference_json(difference: ColumnDifference) -> dict[str, Any]:
    return {
        "column": difference.name,
        "old": difference.old,
        "new": difference.new,
        "masked": difference.masked,
        "old_there": difference.old_there,
        "new_there": difference.new_there,
        "old_redacted": difference.old_redacted,
        "new_redacted": difference.new_redacted,
    }


def difference_row(difference: ColumnDifference) -> list[str]:
    if difference.masked:
        return [quoted(difference.name), MASKED, MASKED]
    old = shown(difference.old) if difference.old_there else "(none yet)"
    new = shown(difference.new) if difference.new_there else "(gone)"
    return [
        quoted(difference.name),
        REDACTED if difference.old_redacted else old,
        REDACTED if difference.new_redacted else new,
    ]


def value_row(column: ImageColumn, version: Version) -> list[str]:
    """One column of one version."""
    if column.masked:
        return [quoted(column.name), MASKED]
    if column.attnum in version.redacted:
        return [quoted(column.name), REDACTED]
    return [quoted(column.name), shown(version.values[column.attnum])]


def statement_json(statement: ChangeStatement) -> dict[str, Any]:
    context = statement.context
    return {
        "statement": statement.pk,
        "transaction": statement.xid,
        "at": statement.at.isoformat(),
        "table": str(statement.tracked),
        "operation": Operation(statement.operation).label,
        "rows": statement.rows,
        "changed": statement.changed,
        "actor": statement.actor,
        "claimed": context.claimed if context else None,
        "user_id": context.user_id or None if context else None,
        "user_email": context.user_email or None if context else None,
        "ip_address": context.ip_address if context else None,
        "reason": reason_of(statement) or None,
        "request_id": context.request_id or None if context else None,
        "session_user": statement.session_user,
        "client": statement.client_addr,
    }


def reason_of(statement: ChangeStatement) -> str:
    if statement.context:
        return statement.context.reason
    return statement.event.reason if statement.event else ""


def restored_json(restored: Restored) -> dict[str, Any]:
    return {
        "table": str(restored.tracked),
        "record_id": restored.record_id,
        "version": restored.version.number,
        "action": restored.action,
        "differences": [
            {"column": each.name, "live": each.live, "restored": each.restored}
            for each in restored.differences
        ],
        "notes": list(restored.notes),
        "obstacles": [
            {
                "why": each.why,
                "constraint": each.constraint or None,
                "table": each.table or None,
                "record_id": each.record_id or None,
            }
            for each in restored.obstacles
        ],
        "new_seq": restored.new_seq,
    }


def shown(text: str | None) -> str:
    return "NULL" if text is None else short(text)


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"
