"""Policies and archives as JSON: the same for every command."""

from __future__ import annotations

from typing import Any

from operations.catalogue.types import TableName
from operations.conditions.describe import describe
from operations.conditions.structure import from_json
from retention.models import Archive, RetentionPolicy


def keep_text(policy: RetentionPolicy) -> str:
    """The keep condition as it reads in SQL; empty without one."""
    return describe(from_json(policy.keep_condition)) if policy.keep_condition else ""


def policy_json(policy: RetentionPolicy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "table": str(policy.table),
        "age_column": policy.age_column or None,
        "keep_hours": policy.keep_hours,
        "retention_days": -1 if policy.keep_hours is None else policy.keep_hours / 24,
        "keep_while": keep_text(policy) or None,
        "archive_first": policy.archive_first,
        "archive_days": policy.archive_days,
        "soft_delete": policy.soft_delete,
        "dependents": [str(TableName(*pair)) for pair in policy.dependents],
        "owner": policy.owner or None,
        "legal_basis": policy.legal_basis or None,
        "enabled": policy.enabled,
        "version": policy.version,
    }


def archive_json(archive: Archive) -> dict[str, Any]:
    return {
        "name": archive.name,
        "policy": archive.policy.name,
        "policy_version": archive.policy_version,
        "table": f"{archive.schema_name}.{archive.table_name}",
        "run": archive.run_id,
        "state": archive.state,
        "rows": archive.rows,
        "bytes": archive.bytes,
        "folder": archive.folder,
        "manifest_sha256": archive.manifest_sha256 or None,
        "created_at": archive.created_at,
        "completed_at": archive.completed_at,
        "expires_at": archive.expires_at,
        "locked_until": archive.locked_until,
        "recipients": archive.recipients,
        "destroyed_at": archive.destroyed_at,
        "root": archive.root.name if archive.root else None,
    }


def bytes_text(count: int) -> str:
    """Bytes as people read them: `812 bytes`, `3.4 MiB`."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count:,} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
