"""Reads of archives."""

from __future__ import annotations

from django.db.models import QuerySet

from operations.catalogue.names import parse_table_name
from retention.exceptions import NoSuchArchive
from retention.models import Archive
from retention.selectors.policies import policies_named

_SHOWN = 10


def archive_get(text: str) -> Archive:
    """The archive of this name, or the only one whose name begins so.

    Raises NoSuchArchive, with the names there are.
    """
    archives = Archive.objects.select_related("policy", "run", "root")
    named = archives.filter(name=text).first()
    if named is not None:
        return named
    begin = list(archives.filter(name__startswith=text)[: _SHOWN + 1]) if text else []
    if len(begin) == 1:
        return begin[0]
    if begin:
        raise NoSuchArchive(f"Several archives begin with {text!r}: {_names(begin)}.")
    found = list(archives[: _SHOWN + 1])
    there_are = f"There are: {_names(found)}." if found else "There are none yet."
    raise NoSuchArchive(f"There is no archive {text!r}. {there_are}")


def archive_list(*, policy: str | None = None, table: str | None = None) -> QuerySet[Archive]:
    """Newest first.

    Args:
        policy: its name, or its table's.
        table: NAME or SCHEMA.NAME; it need not exist any more.

    Raises:
        NoSuchPolicy: no policy has this name.
        BadTableName: the text is no name of a table.
    """
    archives = Archive.objects.select_related("policy", "run", "root")
    if policy:
        archives = archives.filter(policy__in=policies_named([policy]))
    if table:
        schema, name = parse_table_name(table)
        archives = archives.filter(table_name=name)
        if schema is not None:
            archives = archives.filter(schema_name=schema)
    return archives


def _names(archives: list[Archive]) -> str:
    names = ", ".join(archive.name for archive in archives[:_SHOWN])
    return f"{names} and more" if len(archives) > _SHOWN else names
