"""What the page of a deletion tells: who and why, what went along, was severed, and refused."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.utils.safestring import SafeString

from operations.admin.show import NOTHING, Fact, badge, clock, code, joined, link, number, when
from operations.catalogue.types import Table, TableName
from operations.masking import masked
from operations.models import Certificate, Run
from retention.admin.deletion_words import (
    deletion_url,
    is_over,
    key_words,
    outcome_badge,
    record_shown,
    records_words,
    state_badge,
    until_shown,
    who_shown,
)
from retention.admin.hold_facts import hold_links
from retention.models import Deletion, DeletionTable, LegalHold, SeveredReference
from retention.selectors.deletion_vetoes import deletion_protectors

SEVERED_FIRST, SEVERED_A_PAGE = 3, 100
PARTS_SHOWN = 20


def deletion_facts(
    deletion: Deletion, tables: dict[int, Table], user: User | AnonymousUser
) -> list[Fact]:
    facts = [
        Fact("State", state_badge(deletion)),
        Fact("Table", code(str(deletion.table))),
        Fact("Tried" if deletion.state == "refused" else "Deleted", when(deletion.deleted_at)),
        Fact("By", who_shown(deletion.actor)),
        Fact("Why", deletion.reason or NOTHING),
        Fact("How", deletion.get_source_display()),
        *_fate(deletion, tables, user),
    ]
    if deletion.split_from_id is not None:
        origin = link(deletion.split_from, "retention_deletion_change", deletion.split_from_id)
        facts.append(Fact("Part of", origin, "it was deleted with that, and split off since"))
    if deletion.run is not None:
        facts.append(Fact("Run", link(deletion.run, "operations_run_change", deletion.run.pk)))
    verb = "record_restore" if deletion.state == Deletion.State.DELETED else "deletion_show"
    return [*facts, Fact("On the command line", code(f"manage.py {verb} {deletion.pk}"))]


def _fate(deletion: Deletion, tables: dict[int, Table], user: User | AnonymousUser) -> list[Fact]:
    """What became of it, or will."""
    if deletion.state == Deletion.State.RESTORED:
        return [
            Fact("Restored", when(deletion.restored_at)),
            Fact("Restored by", who_shown(deletion.restored_by)),
            Fact("Why restored", deletion.restore_reason or NOTHING),
        ]
    if deletion.state == Deletion.State.PURGED and deletion.run is not None:
        return _proof(deletion.run, user)
    if deletion.state not in (Deletion.State.DELETED, Deletion.State.PURGING):
        return []
    hint = "its grace is over" if is_over(deletion) else "then it may be destroyed"
    facts = [
        Fact("Restorable until", until_shown(deletion), hint if deletion.purge_after else ""),
        Fact("Held", *_held(deletion, tables, user)),
    ]
    if deletion.purge_asked_by:
        asked = badge("Destruction asked for", "warning")
        facts.append(Fact("Before its grace is over", asked, f"by {deletion.purge_asked_by}"))
    return facts


def _proof(run: Run, user: User | AnonymousUser) -> list[Fact]:
    facts = [Fact("Destroyed", when(run.finished_at, empty=run.current.label.lower()))]
    sees = user.has_perm("operations.view_certificate")
    for each in Certificate.objects.filter(run=run).defer("body"):
        shown = link(each.number, "operations_certificate_change", each.pk)
        facts.append(Fact("Certificate", shown if sees else each.number))
    return facts


def _held(
    deletion: Deletion, tables: dict[int, Table], user: User | AnonymousUser
) -> tuple[SafeString | str, str]:
    names, complete = deletion_protectors(deletion, tables.values(), using=deletion.database)
    unsure = "" if complete else "there was no time to look at all of it"
    if not names:
        return ("no" if complete else "unknown"), unsure
    holds = {str(hold): hold for hold in LegalHold.objects.filter(released_at=None)}
    known = hold_links([holds[name] for name in names if name in holds], user)
    others = [badge(name, "warning") for name in names if name not in holds]
    return joined([known, *others]), unsure or "nothing destroys it; it can be restored"


def tree_lines(deletion: Deletion, rows: list[DeletionTable]) -> list[dict[str, Any]]:
    """A line for each table, in steps from the record that it began with."""
    return [
        {
            "name": str(each.table),
            "level": level_shown(each.level),
            "took": number(each.deleted),
            "now": number(each.rows),
            "became": _became(each),
        }
        for each in rows
    ]


def level_shown(level: int) -> int:
    """As far as the style steps in."""
    return min(max(level, 0), 8)


def _became(each: DeletionTable) -> str:
    told = [
        f"{number(count)} {words}"
        for count, words in (
            (each.restored, "restored"),
            (each.moved, "in another deletion"),
            (each.purged, "destroyed"),
        )
        if count
    ]
    return ", ".join(told)


def severed_page(deletion: Deletion, *, after: int) -> tuple[list[SeveredReference], int | None]:
    """References that were set, and the number after which the next page begins."""
    size = SEVERED_A_PAGE if after else SEVERED_FIRST
    found = list(deletion.severed.filter(pk__gt=after).order_by("pk")[: size + 1])
    return found[:size], (found[size - 1].pk if len(found) > size else None)


def severed_lines(
    severed: list[SeveredReference],
    deletion: Deletion,
    tables: dict[int, Table],
    tracked: dict[TableName, int],
    *,
    masks: bool,
) -> list[dict[str, Any]]:
    return [
        {
            "table": str(each.table),
            "record": record_shown(each.table, each.record_id, tracked, masks=masks),
            "columns": [
                (
                    name,
                    _value(tables.get(each.table_oid), name, was, masks=masks),
                    _value(tables.get(each.table_oid), name, each.became.get(name), masks=masks),
                )
                for name, was in each.was.items()
            ],
            "outcome": outcome_badge(each, deletion),
        }
        for each in severed
    ]


def _value(table: Table | None, name: str, text: str | None, *, masks: bool) -> str | None:
    """Of a reference: the key of another row."""
    column = table.column(name) if table is not None else None
    if text is None or not masks:
        return text
    return masked(text, column, key=True) if column is not None else "***"


def refused_lines(
    deletion: Deletion,
    names: dict[str, TableName],
    tracked: dict[TableName, int],
    *,
    masks: bool,
) -> list[dict[str, Any]]:
    """Which rows kept the record from going: they refer to it, and do not go along."""
    return [
        {
            "table": each.get("table", ""),
            "rows": records_words(int(each.get("rows", 0))),
            "constraint": each.get("constraint", ""),
            "held_by": ", ".join(each.get("held_by", ())),
            "records": [
                record_shown(names[each["table"]], str(record), tracked, masks=masks)
                if each.get("table") in names
                else code(key_words(str(record), masks=masks))
                for record in each.get("records", [])
            ],
        }
        for each in deletion.refused
        if isinstance(each, dict)
    ]


def part_lines(deletion: Deletion) -> list[dict[str, Any]]:
    """What was split off, because it was restored or skipped by itself."""
    parts = deletion.parts.prefetch_related("tables").order_by("pk")[:PARTS_SHOWN]
    return [
        {
            "name": str(part).capitalize(),
            "url": deletion_url(part),
            "rows": records_words(sum(each.deleted for each in part.tables.all())),
            "state": state_badge(part),
            "at": clock(part.created_at),
        }
        for part in parts
    ]
