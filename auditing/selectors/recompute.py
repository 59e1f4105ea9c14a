"""Virtual generated columns, which no trigger sees: computed again from a version's other columns.

The expression is the one that the column has now (PostgreSQL's manual, 5.4 "Generated Columns").
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db import DatabaseError, connections, transaction
from psycopg import sql

from auditing.selectors.images import Image, ImageColumn, Shape
from auditing.selectors.queries import pin


def recompute(shape: Shape, images: Sequence[Image]) -> list[Image]:
    """The images with their virtual columns; without those that cannot be computed any more."""
    found = [dict(image) for image in images]
    for column in shape.virtual:
        sources = [shape.column(attnum) for attnum in (column.live.reads if column.live else ())]
        if any(source is None or not source.captured for source in sources):
            continue  # It depends on what is not kept.
        known = [source for source in sources if source is not None]
        places = [
            place
            for place, image in enumerate(images)
            if all(source.attnum in image for source in known)
        ]
        texts = _texts(shape, column, known, [images[place] for place in places])
        for place, (text, computed) in zip(places, texts, strict=True):
            if computed:
                found[place][column.attnum] = text
    return found


def _texts(
    shape: Shape, column: ImageColumn, sources: list[ImageColumn], images: Sequence[Image]
) -> list[tuple[str | None, bool]]:
    if not images:
        return []
    try:
        return [(text, True) for text in _ask(shape, column, sources, images)]
    except DatabaseError:
        if len(images) == 1:
            return [(None, False)]
    # One of them cannot: a division by zero, or a value that its type does not take any more.
    return [each for image in images for each in _texts(shape, column, sources, [image])]


def _ask(
    shape: Shape, column: ImageColumn, sources: list[ImageColumn], images: Sequence[Image]
) -> list[str | None]:
    assert column.live is not None
    typed = [
        sql.SQL("(e.image ->> {})::{} AS {}").format(
            sql.Literal(str(each.attnum)), each.live.base, sql.Identifier(each.name)
        )
        for each in sources
        if each.live is not None
    ]
    given = [{str(each.attnum): image[each.attnum] for each in sources} for image in images]
    with (
        transaction.atomic(using=shape.using),
        connections[shape.using].cursor() as cursor,
    ):
        pin(using=shape.using)
        # pg_get_expr() names functions with their schema, but for those on the search_path, which
        # is the same here. Its text is the catalogue's.
        query = sql.SQL(
            "SELECT ({expression})::pg_catalog.text FROM (SELECT e.place{typed}"
            " FROM pg_catalog.jsonb_array_elements({given}::pg_catalog.jsonb)"
            " WITH ORDINALITY AS e (image, place)) i ORDER BY i.place"
        ).format(
            expression=sql.SQL(column.live.expression),
            typed=sql.SQL("").join(sql.SQL(", {}").format(each) for each in typed),
            given=sql.Literal(json.dumps(given)),
        )
        cursor.execute(query)
        return [text for (text,) in cursor.fetchall()]
