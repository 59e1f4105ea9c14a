"""Reads of policies."""

from __future__ import annotations

from collections.abc import Sequence

from operations.catalogue.names import parse_table_name
from retention.exceptions import NoSuchPolicy
from retention.models import RetentionPolicy


def policies_runnable() -> list[RetentionPolicy]:
    """The policies that can have due rows: enabled, with a term, and not soft-deleting first."""
    return list(
        RetentionPolicy.objects.filter(enabled=True, keep_hours__isnull=False, soft_delete=False)
    )


def policies_named(names: Sequence[str]) -> list[RetentionPolicy]:
    """The named policies in the order asked for; without names, all that are runnable.

    Raises NoSuchPolicy.
    """
    if not names:
        return policies_runnable()
    return list({policy.pk: policy for policy in map(_named, names)}.values())


def _named(text: str) -> RetentionPolicy:
    by_name = RetentionPolicy.objects.filter(name=text).first()
    if by_name is not None:
        return by_name
    schema, name = parse_table_name(text)
    by_table = RetentionPolicy.objects.filter(table_name=name)
    if schema is not None:
        by_table = by_table.filter(schema_name=schema)
    if len(by_table) == 1:
        return by_table[0]
    known = ", ".join(RetentionPolicy.objects.values_list("name", flat=True)) or "none"
    raise NoSuchPolicy(f"There is no policy {text!r}. There are: {known}.")
