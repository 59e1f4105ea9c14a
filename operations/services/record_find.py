"""Finding a record wherever it is: every source is asked, and what they tell is put together.

It changes nothing. The text that is looked for is personal data: it is bound, never logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from operations.asked import asked
from operations.catalogue.types import TableName
from operations.exceptions import UsageError
from operations.find_shares import Share, chosen, shares
from operations.finding import Hit, NotLooked, Person, Search, Source, Stage, sources, standings

SECONDS = 1.7
"""For all sources together; then what was not looked at is said."""
LONGEST = 120.0
LIMIT = 30
"""Records that are told: those of each standing (live, in the bin ...) have their share."""
_ABOUT = 0.25
"""Seconds for what the sources know of the records that were found."""
_UNTIL = {Stage.EXACT: 0.75, Stage.TELLING: 0.9, Stage.DEEP: 1.0}
"""Of the time, where each stage ends; one that is done earlier leaves more to the next."""
_TEXTS = ", its long texts"


class NoSuchStanding(UsageError):
    """Nothing is looked for there, or not for this person."""


@dataclass(frozen=True)
class Found:
    """What came of a search."""

    hits: tuple[Hit, ...]
    """The best first, wherever they stand."""
    missed: tuple[NotLooked, ...]
    """What was not looked at, or not to its end; empty: everything was."""
    more: tuple[TableName, ...]
    """Tables of which there are more records than are told."""
    seconds: float
    shares: tuple[Share, ...] = ()
    """The same hits by where they stand, with whether there are more; those without hits too."""
    only: str = ""
    """The standing that was asked for alone."""
    problem: str = ""
    """Why no value can be equal to the text; then nothing was looked at."""

    @property
    def complete(self) -> bool:
        """No hit means that there is none."""
        return not self.missed and not self.problem


def record_find(
    text: str,
    *,
    tables: Collection[TableName] = (),
    only: str = "",
    limit: int = LIMIT,
    seconds: float = SECONDS,
    user: Person | None = None,
    using: str = "default",
) -> Found:
    """The records that a text names, with all places where each is.

    Args:
        tables: only records of these; empty: of all that are governed and those beside them.
        only: records that stand there only: a kind of `standings()`; empty: wherever they are.
        limit: records that are told at most.
        seconds: after which it stops and says what it did not look at.
        user: who is shown the answer; None: whoever has a shell, who sees everything.

    Raises:
        NoSuchStanding: `only` is none that is told to this person.
    """
    began = time.monotonic()
    known = standings(user)
    if only and only not in {each.kind for each in known}:
        raise NoSuchStanding(f"Not {only!r}: {', '.join(each.kind for each in known)}.")
    wanted = asked(text)
    if wanted.problem:
        return Found((), (), (), 0.0, only=only, problem=wanted.problem)
    search = Search(
        wanted, limit, user, frozenset(tables), only, using, masked=_masked(user, using)
    )
    ends = began + seconds
    hits = _merged(_told(search, began, ends - min(_ABOUT, seconds / 5)))
    ends = max(ends, time.monotonic() + _ABOUT)
    _each(search, ends, lambda source: source.stands(hits, search))
    hits = [hit for hit in hits if only in ("", hit.best.kind)]
    told = chosen(hits, limit)
    among = {id(hit) for hit in told}
    search.more |= {(hit.best.kind, hit.table) for hit in hits if id(hit) not in among}
    _each(search, ends, lambda source: source.about(told, search))
    for hit in told:
        hit.places.sort(key=lambda place: place.order)
    told = _ranked(told)
    return Found(
        tuple(told),
        _once(search.missed),
        tuple(sorted({table for _, table in search.more})),
        time.monotonic() - began,
        shares(told, {kind for kind, _ in search.more}, [x for x in known if only in ("", x.kind)]),
        only,
    )


def _masked(user: Person | None, using: str) -> dict[TableName, frozenset[str]]:
    """Whoever may do everything, or has a shell, sees the values in the tables anyway."""
    found: dict[TableName, frozenset[str]] = {}
    if user is None or user.is_superuser:
        return found
    for source in sources():
        for table, columns in source.masked(using=using).items():
            found[table] = found.get(table, frozenset()) | columns
    return found


def _may_tell(source: Source, only: str) -> bool:
    """Whether the source can find a record that stands there: a past value of a live record is in
    the history, but nothing that stands in a bin is found among live rows."""
    standing = source.standing
    if not only or standing is None or standing.kind == only:
        return True
    wanted = next(each for each in standings() if each.kind == only)
    return wanted.settles and not standing.settles and standing.order > wanted.order


def _told(search: Search, began: float, ends: float) -> Iterable[Hit]:
    """Stage by stage. In a stage each source has its part of what is left of it, and what it leaves
    is the next one's; indexes answer so soon that they are given all the stage has."""
    for stage in Stage:
        stage_ends = began + (ends - began) * _UNTIL[stage]
        asked_now = sorted(
            (
                source
                for source in sources()
                if stage in source.weights and _may_tell(source, search.standing)
            ),
            key=lambda source: -source.weights[stage],
        )
        for place, source in enumerate(asked_now):
            now = time.monotonic()
            waiting = sum(each.weights[stage] for each in asked_now[place:])
            part = 1.0 if stage is Stage.EXACT else source.weights[stage] / waiting
            search.until = now + max(stage_ends - now, 0.0) * part
            yield from source.find(search, stage)


def _each(search: Search, ends: float, ask: Callable[[Source], None]) -> None:
    """Every source in turn; each has its part of the time."""
    asked_now = sources()
    for place, source in enumerate(asked_now):
        now = time.monotonic()
        search.until = now + max(ends - now, 0.0) / (len(asked_now) - place) * 2
        ask(source)


def _merged(found: Iterable[Hit]) -> list[Hit]:
    """One hit for a record, however many sources tell of it."""
    records: dict[tuple[TableName, str], Hit] = {}
    for number, hit in enumerate(found):
        # Rows without a key cannot be told to be the same.
        named = (hit.table, hit.record_id if hit.keyed else f"\0{number}")
        known = records.setdefault(named, hit)
        if known is not hit:
            _join(known, hit)
    return list(records.values())


def _join(known: Hit, hit: Hit) -> None:
    if hit.best.order < known.best.order and hit.values:
        known.values = hit.values
    known.fit = min(known.fit, hit.fit)
    known.by = tuple(dict.fromkeys((*known.by, *hit.by)))
    known.places += [
        place
        for place in hit.places
        if not any(
            place.kind == other.kind and place.facts == other.facts for other in known.places
        )
    ]


def _ranked(hits: list[Hit]) -> list[Hit]:
    """Alike ones in the order in which they were found: tables of people first."""
    return sorted(hits, key=lambda hit: (hit.fit, hit.best.order))


def _once(missed: Iterable[NotLooked]) -> tuple[NotLooked, ...]:
    """Of a table that was not looked at at all its texts need no mention of their own."""
    found = list(dict.fromkeys(missed))
    whole = {each.what for each in found}
    return tuple(
        each
        for each in found
        if not (each.what.endswith(_TEXTS) and each.what.removesuffix(_TEXTS) in whole)
    )
