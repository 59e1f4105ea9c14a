"""Policies from a file in the plain shape: a list of tables with their terms, JSON or YAML.

Each entry: `table`, `retentionDays` (-1 keeps for ever), `softDelete`, `archiveBeforeDelete`,
`excludeCondition` (rows for which it holds are kept) and, where it is not clear, `ageColumn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from django.contrib.auth.models import User
from django.db import transaction

from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table
from operations.conditions.check import check_condition
from operations.conditions.parse import parse_condition
from operations.conditions.structure import Comparison, Condition, to_json
from operations.exceptions import CustodyError
from retention.exceptions import PolicyRefused
from retention.models import RetentionPolicy
from retention.selectors.due import AGE_TYPES, RANGE_TYPES

_KEYS = {
    "table": str,
    "retentionDays": int,
    "softDelete": bool,
    "archiveBeforeDelete": bool,
    "excludeCondition": str,
    "ageColumn": str,
}
_REQUIRED = ("table", "retentionDays")
# What a policy's terms are: a change in any of these is a new version.
_TERMS = (
    "schema_name",
    "table_name",
    "age_column",
    "keep_hours",
    "keep_condition",
    "archive_first",
    "soft_delete",
)


@dataclass(frozen=True)
class PolicyImported:
    policy: RetentionPolicy
    change: Literal["created", "changed", "unchanged"]


def policy_file_read(path: Path) -> list[dict[str, Any]]:
    """The entries of the file. Raises PolicyRefused when it is not such a list."""
    try:
        # JSON is YAML.
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyRefused(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise PolicyRefused(f"{path} is neither JSON nor YAML: {told}") from error
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise PolicyRefused(f"{path} has to hold a list of policies, each with a table.")
    return entries


def policy_import(
    *,
    entries: list[dict[str, Any]],
    actor: User,
    reason: str = "",
    dry_run: bool = False,
    using: str = "default",
) -> list[PolicyImported]:
    """Creates or changes the policies of the entries, all or none.

    Raises:
        PolicyRefused: naming the entry and what is wrong with it.
    """
    with transaction.atomic():
        imported = [
            _import(entry, number, actor, reason, using) for number, entry in _each(entries)
        ]
        if dry_run:
            transaction.set_rollback(True)
    return imported


def _each(entries: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    return list(enumerate(entries, start=1))


def _import(
    entry: dict[str, Any], number: int, actor: User, reason: str, using: str
) -> PolicyImported:
    where = f"Policy {number} ({entry.get('table', 'without a table')})"
    _shape(entry, where)
    try:
        table = read_table(entry["table"], using=using)
        terms = _terms(entry, table, using)
    except CustodyError as error:
        raise PolicyRefused(f"{where}: {error}") from error
    return _store(terms, table, actor, reason, using)


def _shape(entry: dict[str, Any], where: str) -> None:
    for key in entry:
        if key not in _KEYS:
            raise PolicyRefused(f"{where}: {key!r} is not known. Known are {', '.join(_KEYS)}.")
    for key in _REQUIRED:
        if key not in entry:
            raise PolicyRefused(f"{where}: {key} is missing.")
    for key, kind in _KEYS.items():
        value = entry.get(key)
        if value is None and key not in _REQUIRED:
            continue
        # True is an int for Python, and not a number of days for anybody.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise PolicyRefused(f"{where}: {key} has to be {_named(kind)}, not {value!r}.")
    if entry["retentionDays"] < -1:
        raise PolicyRefused(f"{where}: retentionDays is -1 (for ever), 0 or more.")


def _named(kind: type) -> str:
    return {int: "a whole number", bool: "true or false", str: "text"}[kind]


def _terms(entry: dict[str, Any], table: Table, using: str) -> dict[str, Any]:
    keep: Condition | None = None
    if (entry.get("excludeCondition") or "").strip():
        keep = parse_condition(entry["excludeCondition"], table)
        check_condition(keep, table, using=using)
    days = entry["retentionDays"]
    return {
        "schema_name": table.name.schema,
        "table_name": table.name.name,
        "age_column": _age_column(entry, table, keep) if days >= 0 else "",
        "keep_hours": days * 24 if days >= 0 else None,
        "keep_condition": to_json(keep) if keep else None,
        "archive_first": entry.get("archiveBeforeDelete") or False,
        "soft_delete": entry.get("softDelete") or False,
    }


def _age_column(entry: dict[str, Any], table: Table, keep: Condition | None) -> str:
    """ageColumn; else X of `X IS NULL`; else created_at; else the only date or timestamp."""
    if entry.get("ageColumn"):
        column = table.column(entry["ageColumn"])
        if column is None:
            raise PolicyRefused(f"{table.name} has no column {entry['ageColumn']!r}.")
        if column.base_type not in AGE_TYPES + RANGE_TYPES:
            raise PolicyRefused(
                f"ageColumn {column.name} is a {column.type}, not a date, a timestamp or a range "
                "of these."
            )
        return column.name
    ages = [column.name for column in table.columns if column.base_type in AGE_TYPES]
    if isinstance(keep, Comparison) and keep.operator == "is null" and keep.column in ages:
        return keep.column
    if "created_at" in ages:
        return "created_at"
    if len(ages) == 1:
        return ages[0]
    found = f"it has {len(ages)}: {', '.join(ages)}" if ages else "it has none"
    raise PolicyRefused(
        f"which column tells the age of a row of {table.name}? No created_at, and not exactly "
        f"one date or timestamp ({found}). Say it with ageColumn."
    )


def _store(
    terms: dict[str, Any], table: Table, actor: User, reason: str, using: str
) -> PolicyImported:
    policy = (
        RetentionPolicy.objects.select_for_update()
        .filter(database=using, schema_name=table.name.schema, table_name=table.name.name)
        .first()
    )
    if policy is None:
        policy = RetentionPolicy(name=_name(table), database=using, **terms)
        return _saved(policy, actor, reason, "created")
    if all(getattr(policy, key) == terms[key] for key in _TERMS):
        return PolicyImported(policy, "unchanged")
    for key in _TERMS:
        setattr(policy, key, terms[key])
    policy.version += 1
    return _saved(policy, actor, reason, "changed")


def _saved(
    policy: RetentionPolicy, actor: User, reason: str, change: Literal["created", "changed"]
) -> PolicyImported:
    policy._history_user = actor  # type: ignore[attr-defined]
    policy._change_reason = reason[:100]  # type: ignore[attr-defined]
    policy.save()
    return PolicyImported(policy, change)


def _name(table: Table) -> str:
    """The table's name; with its schema when another table's policy has that name already."""
    if RetentionPolicy.objects.filter(name=table.name.name).exists():
        return str(table.name)
    return table.name.name
