"""Pieces of a verification: each can be done alone, in any process, and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import psycopg
from django.db import DataError, InternalError, NotSupportedError, ProgrammingError
from django.db.models import Max, Min

from auditing.models import SealBlock, SealSection, TrackedTable
from auditing.seals.found import Finding, Found, Kind
from auditing.selectors.sealed_rows import ROWS
from auditing.selectors.verify_sections import next_stretch
from auditing.services.verify_chain import BLOCKS, anchors_verify, blocks_verify
from auditing.services.verify_live import (
    capture_verify,
    event_trigger_verify,
    live_cut,
    live_verify,
)
from auditing.services.verify_proof import redactions_verify
from auditing.services.verify_rows import LOOKS, Stretch, stretch_verify

FORMS = ("version", "image", "carried")
Stage = Literal["blocks", "anchors", "redactions", "rows", "live", "capture", "following"]
_UNREADABLE = (
    DataError,
    InternalError,
    NotSupportedError,
    ProgrammingError,
    psycopg.DataError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
    psycopg.ProgrammingError,
)
"""What the server says of tables, columns and functions that are gone or are something else."""
_KINDS: dict[Stage, tuple[Kind, str]] = {
    "blocks": ("chain", "The chain of blocks"),
    "anchors": ("anchor", "What was anchored"),
    "redactions": ("proof", "What was redacted"),
    "rows": ("altered", "What was sealed"),
    "live": ("live", "The table and the last versions"),
    "capture": ("capture", "The capture"),
    "following": ("capture", "The event trigger"),
}


@dataclass(frozen=True)
class Work:
    """One piece. `after` and `upto` are numbers, of `live` keys as texts; None is open."""

    stage: Stage
    source: str = ""
    form: str = ""
    tracked: int | None = None
    after: Any = None
    upto: Any = None

    @property
    def place(self) -> tuple[str, str, str, int | None]:
        """Its line of work, whatever the piece of it."""
        return (self.stage, self.source, self.form, self.tracked)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**data)


def works(
    *, first: int, tracked: int | None, last: dict[str, Any] | None, using: str
) -> Iterator[Work]:
    """All pieces, in their order, that follow `last`.

    Args:
        first: number of the first block that counts; 0 for all.
        tracked: only what concerns this audited table.
    """
    lines = list(_lines(first, tracked, using))
    done = Work.from_json(last) if last else None
    if done is not None:
        places = [line.place for line in lines]
        at = places.index(done.place) if done.place in places else 0
        lines = lines[at:]
        if done.upto is None:
            lines = lines[1:]
        else:
            lines[0] = replace(lines[0], after=done.upto)
    for line in lines:
        yield from _pieces(line, using)


def _lines(first: int, tracked: int | None, using: str) -> Iterator[Work]:
    """Each line of work, from where it begins to its open end."""
    yield Work("blocks", after=max(first - 1, 0))
    yield Work("anchors")
    yield Work("redactions")
    tables = TrackedTable.objects.using(using).filter(database=using).order_by("id")
    if tracked is not None:
        tables = tables.filter(pk=tracked)
    for table in tables:
        for form in FORMS:
            source = str(table.history)
            yield Work("rows", source, form, table.pk, _begin(source, form, first, using))
    if tracked is None:
        for own in ROWS:
            yield Work("rows", own.source, "row", None, _begin(own.source, "row", first, using))
    for stage in ("live", "capture"):
        for table in tables.filter(untracked_at=None):
            yield Work(stage, tracked=table.pk)
    yield Work("following", tracked=tracked)


def _begin(source: str, form: str, first: int, using: str) -> int | None:
    """After which number rows are looked at: of all, or of what was sealed since a block."""
    if first <= 1:
        return None
    least, most = ("first_statement", "last_statement") if form == "image" else ("first", "last")
    sections = SealSection.objects.using(using).filter(source=source, form=form)
    found: int | None = sections.filter(block_id__gte=first).aggregate(n=Min(least))["n"]
    if found is not None:
        return found - 1
    beyond: int | None = sections.aggregate(n=Max(most))["n"]
    return beyond


def _pieces(line: Work, using: str) -> Iterator[Work]:
    after = line.after
    while True:
        upto = _upto(line, after, using)
        yield replace(line, after=after, upto=upto)
        if upto is None:
            return
        after = upto


def _upto(line: Work, after: Any, using: str) -> Any:
    try:
        return _cut(line, after, using)
    except _UNREADABLE:
        # The rest is one piece, which tells of it.
        return None


def _cut(line: Work, after: Any, using: str) -> Any:
    match line.stage:
        case "blocks":
            last = SealBlock.objects.using(using).aggregate(n=Max("number"))["n"] or 0
            return after + BLOCKS if after + BLOCKS < last else None
        case "rows":
            return next_stretch(line.source, line.form, after, using=using)
        case "live":
            return live_cut(_tracked(line), after, using=using)
    return None


def work_do(work: Work, using: str) -> Found:
    """Does one piece. What cannot be read because it is not there any more is a finding."""
    for looks_left in reversed(range(LOOKS)):
        try:
            return _work_do(work, using)
        except _UNREADABLE as error:
            # Somebody may be changing the table just now.
            if not looks_left:
                return Found(0, (_unreadable(work, error),))
    raise AssertionError  # for the type checker: LOOKS is not 0


def _work_do(work: Work, using: str) -> Found:
    match work.stage:
        case "blocks":
            return blocks_verify(work.after, work.upto, using=using)
        case "anchors":
            return anchors_verify(using=using)
        case "redactions":
            return redactions_verify(using=using)
        case "rows":
            stretch = Stretch(work.source, work.form, work.after, work.upto, work.tracked)
            return stretch_verify(stretch, using=using)
        case "following":
            return event_trigger_verify(work.tracked, using=using)
    return _table_do(work, _tracked(work), using)


def _table_do(work: Work, tracked: TrackedTable, using: str) -> Found:
    if work.stage == "live":
        return live_verify(tracked, work.after, work.upto, using=using)
    return capture_verify(tracked, using=using)


def _unreadable(work: Work, error: Exception) -> Finding:
    kind, what = _KINDS[work.stage]
    if work.tracked is not None:
        what = f"{what} of {_tracked(work)}"
    elif work.source:
        what = f"{what} of {work.source}"
    why = " ".join(str(error).split()) or type(error).__name__
    return Finding(kind, f"{what} cannot be read: {why}", work.tracked, work.source)


def _tracked(work: Work) -> TrackedTable:
    assert work.tracked is not None
    return TrackedTable.objects.get(pk=work.tracked)
