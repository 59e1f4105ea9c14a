"""Identifiers as SQL text: for people, and for statements.

Source: PostgreSQL's manual, section 4.1.1 "Identifiers and Key Words".
"""

from __future__ import annotations

import re

from psycopg import sql
from psycopg.abc import AdaptContext

from operations.catalogue.keywords import RESERVED

_BARE = re.compile(r"[a-z_][a-z0-9_$]*")


def quoted(identifier: str) -> str:
    """The identifier, in double quotes only where PostgreSQL's parser needs them."""
    if _BARE.fullmatch(identifier) and identifier not in RESERVED:
        return identifier
    escaped = identifier.replace('"', '""')
    return f'"{escaped}"'


class Identifier(sql.Identifier):
    """sql.Identifier, also for names with a percent sign, which psycopg takes for a placeholder.

    Such a name is written U&"..." with the sign escaped: right in a query with parameters and in
    one without.
    """

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        return b".".join(_part(part, context) for part in self._obj)


def _part(part: str, context: AdaptContext | None) -> bytes:
    if "%" not in part:
        return sql.Identifier(part).as_bytes(context)
    escaped = part.replace("\\", "\\\\").replace("%", "\\0025").replace('"', '""')
    return f'U&"{escaped}"'.encode()
