"""Records in the history: past versions, and rows that were deleted without the bin."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from django.db.models import QuerySet

from auditing.models import TrackedTable
from auditing.record_slugs import slug_of
from auditing.selectors.find_masked import masked_columns
from auditing.selectors.find_versions import HistorySearch, partitions_of
from auditing.selectors.images import Shape, shape_of
from auditing.selectors.log_filter import OWN
from auditing.selectors.versions import Version, version_by_seq, versions_of
from operations.catalogue.types import TableName
from operations.exceptions import CustodyError
from operations.finding import LEAST, Hit, Person, Place, Search, Source, Stage, Standing

HISTORY = "history"
_RECORD = "admin:auditing_trackedtable_record"
_RESTORE = "admin:auditing_trackedtable_record_restore"
_MAY_RESTORE = "auditing.restore_version"


class HistoryRows(Source):
    """By key through the index; by value partition by partition, the newest first."""

    name = HISTORY
    standing = Standing(
        HISTORY, 3, "Deleted, in the history", "deleted, in the history", "Deleted, in history"
    )
    weights = {Stage.EXACT: 2.0, Stage.TELLING: 3.0, Stage.DEEP: 2.0}  # noqa: RUF012

    def tables(self, *, using: str) -> set[TableName]:
        audited = _applications(using).filter(untracked_at=None)
        return {each.table for each in audited}

    def shows(self, user: Person, *, using: str) -> Callable[[TableName], bool]:
        if not user.has_perm("auditing.view_trackedtable"):
            return lambda _: False
        known = {each.table for each in _applications(using)}
        return known.__contains__

    def masked(self, *, using: str) -> Mapping[TableName, frozenset[str]]:
        """Those of which the history is not to have a value either."""
        return masked_columns(using)

    def find(self, search: Search, stage: Stage) -> Iterator[Hit]:
        for asking in _asked_of(self, search):
            rows = asking.by_key() if stage is Stage.EXACT else asking.through(deep=stage > 1)
            yield from rows

    def about(self, hits: Sequence[Hit], search: Search) -> None:
        """How many versions each record has, how the last one ended, and which one matched."""
        searches = {asking.tracked.table: asking for asking in _asked_of(self, search)}
        for hit in hits:
            asking = searches.get(hit.table)
            if asking is not None and hit.keyed and search.left > LEAST:
                with suppress(CustodyError):
                    _tell(hit, asking.tracked, asking.shape)


def _applications(using: str) -> QuerySet[TrackedTable]:
    return TrackedTable.objects.filter(database=using).exclude(schema_name=OWN)


def _asked_of(source: HistoryRows, search: Search) -> list[HistorySearch]:
    """The histories that are wanted and may be seen; of people first, then small ones."""
    if HISTORY not in search.kept:
        may = (
            source.shows(search.user, using=search.using)
            if search.user is not None
            else lambda _: True
        )
        wanted = [
            each
            for each in _applications(search.using)
            if search.wants(each.table) and may(each.table)
        ]
        months = partitions_of([str(each.history) for each in wanted], using=search.using)
        found = [
            HistorySearch(search, each, shape_of(each), months[str(each.history)])
            for each in wanted
            if str(each.history) in months
        ]
        search.kept[HISTORY] = sorted(found, key=lambda each: (not each.is_of_people, each.pages))
    kept: list[HistorySearch] = search.kept[HISTORY]
    return kept


def _tell(hit: Hit, tracked: TrackedTable, shape: Shape) -> None:
    """In place of the bare versions that matched: what the record's history comes to."""
    matched = [place.facts["seq"] for place in hit.places if place.kind == HISTORY]
    newest = next(iter(versions_of(tracked, hit.record_id, limit=1, shape=shape).versions), None)
    if newest is None:
        return
    hit.places = [place for place in hit.places if place.kind != HISTORY]
    seq = max(matched, default=newest.seq)
    past = newest if seq == newest.seq else version_by_seq(tracked, hit.record_id, seq, shape=shape)
    hit.places.append(_place(tracked, newest, past))


def _place(tracked: TrackedTable, newest: Version, past: Version) -> Place:
    named = shlex.join([str(tracked.table), newest.record_id])
    ended = not newest.exists
    brings = (ended or past.seq != newest.seq) and tracked.untracked_at is None
    told = past if past.exists or not newest.exists else newest
    if ended and past.seq == newest.seq:
        what = f"deleted; its last version is {newest.number}"
    elif ended:
        what = f"deleted; so in version {past.number} of {newest.number}"
    elif past.seq == newest.seq:
        what = f"{newest.number} version{'' if newest.number == 1 else 's'} in the history"
    else:
        what = f"so in version {past.number} of {newest.number} in the history"
    shown = newest if ended else told
    place = Place(
        HISTORY,
        3,
        what,
        shown.at,
        shown.actor,
        shown.context.reason if shown.context else "",
        f"audit_history {named}",
        "Its versions",
        (_RECORD, (tracked.pk, slug_of(newest.record_id)), ""),
        facts={
            "version": told.number,
            "versions": newest.number,
            "seq": told.seq,
            "deleted": ended,
        },
    )
    if not brings:
        return place
    return replace(
        place,
        command=f"audit_restore {named} --version {told.number}",
        button=f"Restore version {told.number}",
        address=(_RESTORE, (tracked.pk, slug_of(newest.record_id)), f"?version={told.seq}"),
        needs=_MAY_RESTORE,
    )
