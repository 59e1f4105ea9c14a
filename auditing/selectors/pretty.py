"""Documents in lines, as PostgreSQL lays them out: numbers and strings stay what they are."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DatabaseError, connections, transaction

from auditing.selectors.images import ImageColumn

_DOCUMENTS = ("json", "jsonb")


def is_document(column: ImageColumn) -> bool:
    return column.type in _DOCUMENTS


def pretty(texts: Sequence[str | None], *, using: str = "default") -> list[str | None]:
    """Each JSON text in lines; where PostgreSQL cannot read one of them, all as they are."""
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(
                "SELECT pg_catalog.jsonb_pretty(text::pg_catalog.jsonb)"
                " FROM unnest(%s::pg_catalog.text[]) WITH ORDINALITY AS given (text, place)"
                " ORDER BY place",
                [list(texts)],
            )
            return [text for (text,) in cursor.fetchall()]
    except DatabaseError:
        return list(texts)
