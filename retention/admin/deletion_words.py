"""A deletion in words: the same in the list of the bin, on its page and before it is restored."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from auditing.admin.record_links import record_url
from auditing.admin.words import actor_kind, actor_link, actor_name
from auditing.models import TrackedTable
from operations.admin.show import NOTHING, ago, badge, clock, lines, number, when
from operations.catalogue.types import TableName
from operations.masking import HIDDEN
from retention.models import Deletion, SeveredReference
from retention.selectors.row_texts import RowText

RESTORE = "retention.restore_record"
DELETE = "retention.delete_record"
PURGE = "retention.purge_record"

_DIGITS = 18
_HARMLESS_KEY = re.compile(
    r"-?\d{1,19}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?(\+00)?)?"
)
_COLOURS = {
    Deletion.State.DELETED: "info",
    Deletion.State.RESTORED: "success",
    Deletion.State.PURGING: "warning",
    Deletion.State.PURGED: "danger",
    Deletion.State.REFUSED: "",
}
_OUTCOMES = {
    SeveredReference.Outcome.OPEN: ("Comes back on restore", "info"),
    SeveredReference.Outcome.BACK: ("Put back", "success"),
    SeveredReference.Outcome.CHANGED: ("Changed since, so left", "warning"),
    SeveredReference.Outcome.GONE: ("Its row is gone", "warning"),
}


def may_see_values(user: User | AnonymousUser) -> bool:
    """Who may bring a record back has to know it again; others see what looks personal masked."""
    return user.has_perm(RESTORE)


def whole_number(text: str) -> int:
    """Of an address or a form; 0 for what is none."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else 0


def state_badge(deletion: Deletion) -> SafeString:
    if deletion.state == Deletion.State.DELETED and is_over(deletion):
        return badge("In the bin, past its grace", "warning")
    return badge(deletion.get_state_display(), _COLOURS[deletion.current])


def is_over(deletion: Deletion) -> bool:
    return deletion.purge_after is not None and deletion.purge_after <= timezone.now()


def outcome_badge(severed: SeveredReference, deletion: Deletion) -> SafeString:
    if deletion.state == Deletion.State.PURGED and severed.outcome == SeveredReference.Outcome.OPEN:
        return badge("For good")
    return badge(*_OUTCOMES[SeveredReference.Outcome(severed.outcome)])


def records_words(count: int) -> str:
    return f"{number(count)} record{'' if count == 1 else 's'}"


def rows_of(count: int, table: object) -> str:
    return f"{number(count)} row{'' if count == 1 else 's'} of {table}"


def until_shown(deletion: Deletion) -> SafeString | str:
    """Until when it can be restored, while it can."""
    if deletion.state == Deletion.State.PURGING:
        return "too late"
    if is_over(deletion):
        return lines("as long as it is there", "the next purge destroys it")
    return when(deletion.purge_after, empty="it has no end")


def fate_words(deletion: Deletion) -> str:
    """What becomes of it, or became, under its state."""
    match deletion.current:
        case Deletion.State.RESTORED:
            by = actor_name(deletion.restored_by)
            at = ago(deletion.restored_at) if deletion.restored_at else ""
            return f"{at} by {by}" if by else at
        case Deletion.State.DELETED if deletion.purge_asked_by:
            return f"{actor_name(deletion.purge_asked_by)} asked to destroy it"
        case Deletion.State.DELETED:
            until = deletion.purge_after
            return f"restorable until {clock(until)}" if until else "restorable without end"
        case _:
            return ""


def who_shown(actor: str) -> SafeString | str:
    return lines(actor_link(actor), actor_kind(actor)) if actor else NOTHING


def title_of(deletion: Deletion, roots: Sequence[RowText], *, masks: bool) -> str:
    """`Ada Lovelace`, `Ada Lovelace, Ben and 3 more`, or `orders 17` where it has no name."""
    names = [name for root in roots if (name := root.name(masks=masks))]
    if len(names) < len(roots) or not names:
        return _by_key(deletion, masks=masks)
    more = deletion.roots - len(names)
    told = ", ".join(names)
    return f"{told} and {number(more)} more" if more > 0 else told


def _by_key(deletion: Deletion, *, masks: bool) -> str:
    if not deletion.record_id:
        return f"{records_words(deletion.roots)} of {deletion.table_name}"
    return f"{deletion.table_name} {key_words(deletion.record_id, masks=masks)}"


def details_of(roots: Sequence[RowText], *, masks: bool) -> str:
    """What else stands for the one record that it began with."""
    if len(roots) != 1:
        return ""
    words = roots[0].words(masks=masks)
    return ", ".join(words[1:3] if roots[0].name(masks=masks) else words[:3])


def key_words(record_id: str, *, masks: bool = False) -> str:
    """`501, 1` of a key of several columns; with `masks` only numbers, days, moments and UUIDs.

    Any other key, such as a mail address, may tell who it is, whatever its column is called.
    """
    parts = [record_id]
    if record_id.startswith('["'):
        with suppress(ValueError):
            parts = [str(each) for each in json.loads(record_id)]
    if masks and not all(map(_HARMLESS_KEY.fullmatch, parts)):
        return HIDDEN
    return ", ".join(parts)


def record_shown(
    table: TableName, record_id: str, tracked: dict[TableName, int], *, masks: bool
) -> SafeString:
    """The record's key, leading to its page where it has one."""
    shown = key_words(record_id, masks=masks)
    if table not in tracked or shown == HIDDEN:
        return format_html("<code>{}</code>", shown)
    return format_html(
        '<a href="{}"><code>{}</code></a>', record_url(tracked[table], record_id), shown
    )


def tracked_tables(
    names: Sequence[TableName], user: User | AnonymousUser, *, using: str = "default"
) -> dict[TableName, int]:
    """The audited ones among the tables, whose records have pages that this person may open."""
    if not user.has_perm("auditing.view_trackedtable"):
        return {}
    found = TrackedTable.objects.filter(
        database=using, schema_name__in={name.schema for name in names}, untracked_at=None
    )
    known = {TableName(each.schema_name, each.table_name): each.pk for each in found}
    return {name: known[name] for name in names if name in known}


def deletion_url(deletion: Deletion | int, page: str = "change") -> str:
    number_of = deletion if isinstance(deletion, int) else deletion.pk
    return reverse(f"admin:retention_deletion_{page}", args=[number_of])
