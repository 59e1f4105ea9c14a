"""Which versions still have a value to redact, and in which sections of the seals they are.

Found anew by every pass and every worker, so nothing of it has to be kept: what has been redacted
has no value any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import connections

from auditing.models import TrackedTable
from auditing.selectors.images import Shape
from auditing.selectors.redactable import RECORDS, Pick, Redactable, Stretch, picks_of
from operations.runs.kinds import Beat

_FORMS = {"B": "image", "C": "carried"}

# A section's bounds tell which may have a version; its list, which has.
_SECTIONS = """
SELECT p.n, s.id, cardinality(s.ids)::bigint * cardinality(s.names)
FROM unnest(%(n)s::int[], %(form)s::text[], %(seq)s::bigint[], %(statement)s::bigint[],
            %(at)s::timestamptz[], %(record)s::text[])
    AS p (n, form, seq, statement, at, record)
JOIN custody.auditing_sealsection AS s
    ON s.source = %(source)s AND s.form = p.form
    AND s.first <= p.seq AND s.last >= p.seq
    AND s.first_statement <= p.statement AND s.last_statement >= p.statement
    AND s.first_at <= p.at AND s.last_at >= p.at
WHERE CASE WHEN s.tags IS NULL THEN array_position(s.ids, p.seq)
           ELSE array_position(s.tags, custody.audit_tag(p.record)) END IS NOT NULL
ORDER BY p.n, s.id
"""


@dataclass
class Group:
    """Versions that are in the same sections: of most there is one, of doubtful ones more."""

    sections: tuple[int, ...]
    slots: int
    """Salts of these sections: what is written when the first value of theirs goes."""
    picks: list[Pick] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    groups: list[Group]
    unsealed: list[Pick]
    """Those that no section has."""


def redact_find(
    tracked: TrackedTable,
    shape: Shape,
    columns: Sequence[Redactable],
    stretches: Sequence[Stretch],
    *,
    beat: Beat,
    using: str,
) -> Found:
    """Outside a transaction: takes as long as reading the versions of all the records."""
    groups: dict[tuple[int, ...], Group] = {}
    unsealed: list[Pick] = []
    for start in range(0, len(stretches), RECORDS):
        beat()
        picks = picks_of(shape, columns, stretches[start : start + RECORDS], using=using)
        places: dict[int, list[tuple[int, int]]] = {}
        for number, section, slots in _sections(tracked, picks, using):
            places.setdefault(number, []).append((section, slots))
        for number, pick in enumerate(picks):
            found = places.get(number)
            if found is None:
                unsealed.append(pick)
                continue
            key = tuple(section for section, _ in found)
            slots = sum(each for _, each in found)
            groups.setdefault(key, Group(key, slots)).picks.append(pick)
    return Found([groups[key] for key in sorted(groups)], unsealed)


def _sections(
    tracked: TrackedTable, picks: Sequence[Pick], using: str
) -> list[tuple[int, int, int]]:
    if not picks:
        return []
    with connections[using].cursor() as cursor:
        cursor.execute(
            _SECTIONS,
            {
                "n": list(range(len(picks))),
                "form": [_FORMS.get(pick.op, "version") for pick in picks],
                "seq": [pick.seq for pick in picks],
                "statement": [pick.statement for pick in picks],
                "at": [pick.at for pick in picks],
                "record": [pick.record_id for pick in picks],
                "source": str(tracked.history),
            },
        )
        return list(cursor.fetchall())
