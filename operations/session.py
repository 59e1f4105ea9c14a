"""Settings of the database session that hold until the end of the transaction."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connections

# unnest() of several arrays is grammar, known by its plain name only.
_SET = """
SELECT pg_catalog.set_config(s.name, s.value, true)
FROM unnest(%s::text[], %s::text[]) AS s (name, value)
"""


def set_local(settings: Mapping[str, str], *, using: str) -> None:
    """SET LOCAL for each of the settings, in one round trip, with bound values.

    Source: PostgreSQL's manual, 9.28.1 "Configuration Settings Functions".
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_SET, [list(settings), list(settings.values())])
