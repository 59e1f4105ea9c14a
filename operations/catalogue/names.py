"""Reading the name of a table as PostgreSQL does."""

from __future__ import annotations

import re

from operations.catalogue.exceptions import BadTableName
from operations.catalogue.identifiers import quoted

__all__ = ["folded", "parse_table_name", "quoted", "unquoted"]

# Outside ASCII every character may stand in a name without quotes, as in PostgreSQL's scanner.
IDENTIFIER = r'"(?:[^"\0]|"")+"|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*'
_TABLE_NAME = re.compile(rf"(?:(?P<schema>{IDENTIFIER})\.)?(?P<name>{IDENTIFIER})")
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def parse_table_name(text: str) -> tuple[str | None, str]:
    """Schema (None when not given) and name, without quotes, of `users` or `"My Schema".users`.

    Raises:
        BadTableName: for anything else.
    """
    found = _TABLE_NAME.fullmatch(text.strip())
    if found is None:
        raise BadTableName(text)
    schema = found["schema"]
    return unquoted(schema) if schema else None, unquoted(found["name"])


def unquoted(identifier: str) -> str:
    """An identifier as somebody wrote it, in quotes or not, as the catalogue has it."""
    if identifier.startswith('"'):
        return identifier[1:-1].replace('""', '"')
    return folded(identifier)


def folded(identifier: str) -> str:
    """PostgreSQL folds names without quotes: A to Z only, whatever the language."""
    return identifier.translate(_LOWER)
