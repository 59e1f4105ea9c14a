"""Which values of versions were redacted: there was one, and nobody knows it any more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from django.db import connections
from psycopg import sql

from auditing.models import TrackedTable
from auditing.selectors.images import Shape
from auditing.selectors.keys import record_id_of
from auditing.selectors.redactable import RECORDS, keys_are

_NUMBER = re.compile(r"(?:rest\.)?([0-9]+)")

# A version that was carried forward has the number of the one that it stands for.
_REDACTED = """
SELECT v.n, r.name
FROM unnest(%(seq)s::bigint[], %(statement)s::bigint[], %(record)s::text[])
    WITH ORDINALITY AS v (seq, statement, record, n)
JOIN custody.auditing_sealsection AS s
    ON s.source = %(source)s AND s.first <= v.seq AND s.last >= v.seq
    AND s.first_statement <= v.statement AND s.last_statement >= v.statement
    AND EXISTS (SELECT FROM custody.auditing_redactedvalue AS x WHERE x.section_id = s.id)
CROSS JOIN LATERAL unnest(
    CASE WHEN s.tags IS NULL THEN array_positions(s.ids, v.seq)
         ELSE array_positions(s.tags, custody.audit_tag(v.record)) END) AS p
JOIN custody.auditing_redactedvalue AS r
    ON r.section_id = s.id AND r.place = p - 1 AND r.commitment IS NOT NULL
WHERE s.ids[p] = v.seq
"""


_ANY = """
SELECT EXISTS (SELECT FROM custody.auditing_sealsection AS s
               JOIN custody.auditing_redactedvalue AS r ON r.section_id = s.id
               WHERE s.source = %s)
"""


class Place(NamedTuple):
    """Tells one version of a table from every other."""

    seq: int
    statement: int
    record_id: str


def redacted_columns(
    tracked: TrackedTable, versions: Sequence[Place], *, using: str
) -> dict[Place, set[int]]:
    """The attnums of the columns that were redacted, of those of the versions that have any.

    In these a version is NULL and once was not: it is no evidence of what the row had, and nothing
    to be put back.
    """
    if not versions:
        return {}
    with connections[using].cursor() as cursor:
        cursor.execute(
            _REDACTED,
            {
                "seq": [each.seq for each in versions],
                "statement": [each.statement for each in versions],
                "record": [each.record_id for each in versions],
                "source": str(tracked.history),
            },
        )
        rows = cursor.fetchall()
    found: dict[Place, set[int]] = {}
    for number, name in rows:
        if at := _NUMBER.match(name):
            found.setdefault(versions[number - 1], set()).add(int(at[1]))
    return found


def is_redacted(tracked: TrackedTable, *, using: str) -> bool:
    """Whether any version of the table lost a value."""
    with connections[using].cursor() as cursor:
        cursor.execute(_ANY, [str(tracked.history)])
        return bool(cursor.fetchone()[0])


def last_redacted(shape: Shape, record_ids: Sequence[str]) -> dict[str, set[int]]:
    """The attnums that the last versions of these records lost: a live row may still have them."""
    if not is_redacted(shape.tracked, using=shape.using):
        return {}
    found: dict[str, set[int]] = {}
    for start in range(0, len(record_ids), RECORDS):
        query = sql.SQL(
            "SELECT DISTINCT ON ({record}) h.seq, h.statement, {record} FROM {history} h"
            " WHERE {keys} ORDER BY {record}, h.seq DESC, h.statement DESC"
        ).format(
            record=record_id_of(shape),
            history=shape.history,
            keys=keys_are(shape, record_ids[start : start + RECORDS]),
        )
        with connections[shape.using].cursor() as cursor:
            cursor.execute(query)
            places = [Place(*row) for row in cursor.fetchall()]
        redacted = redacted_columns(shape.tracked, places, using=shape.using)
        found |= {place.record_id: attnums for place, attnums in redacted.items()}
    return found
