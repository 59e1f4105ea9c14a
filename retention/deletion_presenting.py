"""Deletions as commands tell them: one JSON document, or lines for a person."""

from __future__ import annotations

from typing import Any

from retention.models import Deletion
from retention.selectors.deletions import deletion_rows_now, deletion_tables
from retention.selectors.row_texts import RowText
from retention.selectors.severed import SeveredCount
from retention.services.record_restore import Conflict, RestoredDeletion


def deletion_json(deletion: Deletion, root: RowText | None = None) -> dict[str, Any]:
    """Of a deletion with its tables.

    Args:
        root: the record that it began with, where it is known.
    """
    return {
        "id": deletion.pk,
        "table": str(deletion.table),
        "record_id": deletion.record_id,
        "records": deletion.roots,
        "record": values_json(root) if root else {},
        "state": deletion.state,
        "rows": deletion_rows_now(deletion),
        "tables": [
            {
                "table": str(each.table),
                "level": each.level,
                "rows": each.rows,
                "deleted": each.deleted,
                "restored": each.restored,
                "moved": each.moved,
                "purged": each.purged,
            }
            for each in deletion_tables(deletion)
        ],
        "deleted_at": deletion.deleted_at,
        "deleted_by": deletion.actor,
        "reason": deletion.reason,
        "source": deletion.source,
        "purge_after": deletion.purge_after,
        "purge_asked_by": deletion.purge_asked_by,
        "split_from": deletion.split_from_id,
        "restored_at": deletion.restored_at,
        "restored_by": deletion.restored_by,
        "restore_reason": deletion.restore_reason,
        "run": deletion.run_id,
        "refused": deletion.refused,
    }


def values_json(row: RowText) -> dict[str, str]:
    """What stands for a row, without NULLs and blanks."""
    return {name: value for name, value in row.shown(masks=False) if value and value.strip()}


def deletion_words(deletion: Deletion, root: RowText | None) -> str:
    """The record that it began with, as people know it; how many where there are several."""
    if not deletion.record_id and deletion.roots > 1:
        return f"{deletion.roots:,} records"
    return root.label if root else deletion.record_id


def severed_json(counts: tuple[SeveredCount, ...]) -> list[dict[str, Any]]:
    return [
        {
            "table": each.table,
            "constraint": each.constraint,
            "columns": list(each.columns),
            "rows": each.rows,
            "to": "default" if each.to_default else None,
        }
        for each in counts
    ]


def severed_lines(counts: tuple[SeveredCount, ...]) -> list[str]:
    return [
        f"{rows_words(each.rows)} of {each.table}: {each.words} ({each.constraint})"
        for each in counts
    ]


def refused_lines(refused: list[dict[str, Any]] | tuple[dict[str, Any], ...]) -> list[str]:
    lines = []
    for each in refused:
        over = "over " if each.get("more") else ""
        some = ", ".join(str(record) for record in each.get("records", [])[:3])
        held = ", ".join(each.get("held_by", ()))
        lines.append(
            f"{over}{rows_words(each['rows'])} of {each['table']} ({each['constraint']})"
            + (f": {some}" if some else "")
            + (f": {held} forbids to change them" if held else "")
        )
    return lines


def rows_words(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def conflict_json(conflict: Conflict) -> dict[str, Any]:
    return {
        "kind": conflict.kind,
        "table": conflict.table,
        "records": list(conflict.records),
        "rows": conflict.rows,
        "constraint": conflict.constraint,
        "columns": list(conflict.columns),
        "values": list(conflict.values),
        "other": conflict.other,
        "parent_table": conflict.parent_table,
        "parent_record": conflict.parent_record,
        "deletion": conflict.deletion,
        "message": conflict.message,
    }


def restored_json(found: RestoredDeletion) -> dict[str, Any]:
    return {
        "deletion": found.deletion.pk,
        "restored": found.restored_id,
        "left": found.left_id,
        "rows": found.rows,
        "tables": [{"table": table, "rows": rows} for table, rows in found.tables],
        "references": {
            "back": found.references_back,
            "changed": found.references_changed,
            "gone": found.references_gone,
        },
        "conflicts": [conflict_json(each) for each in found.conflicts],
        "dry_run": found.dry_run,
    }
