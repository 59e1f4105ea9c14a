"""Policies as entries of a file, in the plain shape, and back.

Each entry: `table`, `retentionDays` (-1 keeps for ever) or `retentionHours`, `softDelete`,
`archiveBeforeDelete`, `excludeCondition` (rows for which it holds are kept), and, where they are
wanted, the other keys of KEYS.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from operations.catalogue.read import table as read_table
from operations.catalogue.read import table_name_resolve
from operations.catalogue.types import Table
from operations.conditions.parse import parse_condition
from operations.conditions.structure import Comparison, Condition
from retention.exceptions import PolicyRefused
from retention.selectors.due import AGE_TYPES
from retention.services.policy_terms import PolicyTerms

Entry = dict[str, Any]
KEYS: dict[str, type] = {
    "name": str,
    "table": str,
    "retentionDays": int,
    "retentionHours": int,
    "softDelete": bool,
    "archiveBeforeDelete": bool,
    "archiveDays": int,
    "excludeCondition": str,
    "ageColumn": str,
    "dependents": list,
    "legalBasis": str,
    "owner": str,
    "enabled": bool,
}
FOR_EVER = -1
_WORDS = {int: "a whole number", bool: "true or false", str: "text", list: "a list of tables"}


def policy_file_read(path: Path) -> list[Entry]:
    """The entries of the file: a list, or what `policy_export --json` prints.

    Raises PolicyRefused when it is neither.
    """
    try:
        entries = _loaded(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyRefused(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise PolicyRefused(f"{path} is neither JSON nor YAML: {told}") from error
    if isinstance(entries, dict) and set(entries) == {"policies"}:
        entries = entries["policies"]
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise PolicyRefused(f"{path} has to hold a list of policies, each with a table.")
    return entries


def _loaded(text: str) -> Any:
    try:
        # Not every JSON is YAML: it escapes letters beyond 16 bits in halves.
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


def entry_check(entry: Entry) -> None:
    """Raises PolicyRefused when a key or the kind of a value is not one of the shape."""
    for key in entry:
        if key not in KEYS:
            raise PolicyRefused(f"{key!r} is not known. Known are {', '.join(KEYS)}.")
    for key, kind in KEYS.items():
        if not (entry.get(key) is None or _is(kind, entry[key])):
            raise PolicyRefused(f"{key} has to be {_WORDS[kind]}, not {entry[key]!r}.")
    if entry.get("table") is None:
        raise PolicyRefused("table is missing.")
    _check_term(entry.get("retentionDays"), entry.get("retentionHours"))
    if not all(isinstance(each, str) for each in entry.get("dependents") or ()):
        raise PolicyRefused("dependents has to be a list of tables, each a text.")


def _is(kind: type, value: object) -> bool:
    # True is an int for Python, and not a number of days for anybody.
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _check_term(days: int | None, hours: int | None) -> None:
    if days is None and hours is None:
        raise PolicyRefused("retentionDays is missing (or retentionHours).")
    if days is not None and hours is not None:
        raise PolicyRefused("say retentionDays or retentionHours, not both.")
    if days is not None and days < FOR_EVER:
        raise PolicyRefused("retentionDays is -1 (for ever), 0 or more.")
    if hours is not None and hours < 0:
        raise PolicyRefused("retentionHours is 0 or more.")


def entry_terms(
    entry: Entry, *, name: str, base: PolicyTerms | None, using: str = "default"
) -> PolicyTerms:
    """The terms that a checked entry says.

    Args:
        base: where an entry says nothing of archiveDays, dependents, legalBasis and owner, they are
            taken from here.

    Raises:
        CustodyError: the table, a column or a condition cannot be understood.
    """
    table = read_table(entry["table"], using=using)
    keep = _keep(entry, table)
    hours = _hours(entry)
    archive = entry.get("archiveBeforeDelete") or False
    terms = replace(
        base or PolicyTerms(name=name, table=table.name),
        table=table.name,
        age_column=_age_column(entry, table, keep, needed=hours is not None),
        keep_hours=hours,
        keep_condition=keep,
        archive_first=archive,
        soft_delete=entry.get("softDelete") or False,
        enabled=True if entry.get("enabled") is None else entry["enabled"],
    )
    if "archiveDays" in entry or not archive:
        terms = replace(terms, archive_days=entry.get("archiveDays"))
    if "dependents" in entry:
        names = entry["dependents"] or ()
        resolved = tuple(table_name_resolve(each, using=using) for each in names)
        terms = replace(terms, dependents=resolved)
    if "legalBasis" in entry:
        terms = replace(terms, legal_basis=(entry["legalBasis"] or "").strip())
    if "owner" in entry:
        terms = replace(terms, owner=(entry["owner"] or "").strip())
    return terms


def terms_entry(terms: PolicyTerms) -> Entry:
    """The whole entry: read again, it says these terms whatever the policy says by then."""
    entry: Entry = {"name": terms.name, "table": str(terms.table)}
    hours = terms.keep_hours
    if hours is None:
        entry["retentionDays"] = FOR_EVER
    elif hours % 24:
        entry["retentionHours"] = hours
    else:
        entry["retentionDays"] = hours // 24
    if terms.age_column:
        entry["ageColumn"] = terms.age_column
    entry["softDelete"] = terms.soft_delete
    entry["archiveBeforeDelete"] = terms.archive_first
    if terms.archive_first:
        entry["archiveDays"] = terms.archive_days
    if terms.keep_condition is not None:
        entry["excludeCondition"] = terms.keep_text
    return {
        **entry,
        "dependents": [str(table) for table in terms.dependents],
        "legalBasis": terms.legal_basis,
        "owner": terms.owner,
        "enabled": terms.enabled,
    }


def entries_text(entries: list[Entry], *, as_json: bool = False) -> str:
    """The file that says these entries, as YAML or JSON; one policy a block, keys in order."""
    if as_json:
        return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    blocks = [
        yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=100) for entry in entries
    ]
    return "\n".join(blocks) if blocks else "[]\n"


def _hours(entry: Entry) -> int | None:
    hours: int | None = entry.get("retentionHours")
    if hours is not None:
        return hours
    days: int = entry["retentionDays"]
    return None if days == FOR_EVER else days * 24


def _keep(entry: Entry, table: Table) -> Condition | None:
    text = (entry.get("excludeCondition") or "").strip()
    return parse_condition(text, table) if text else None


def _age_column(entry: Entry, table: Table, keep: Condition | None, *, needed: bool) -> str:
    """ageColumn; else X of `X IS NULL`; else created_at; else the only date or timestamp."""
    given: str = entry.get("ageColumn") or ""
    if given or not needed:
        return given
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
