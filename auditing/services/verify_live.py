"""Live rows against their last versions, and whether changes are still captured.

What was written while triggers were off is in no version, and so in no block: only the table itself
tells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from django.db import connections, transaction

from auditing.models import TrackedTable
from auditing.seals.found import Finding, Found
from auditing.selectors.images import Shape, history_exists, shape_of
from auditing.selectors.live_rows import Different, LiveSlice, comparable, live_slice
from auditing.selectors.live_rows import live_cut as cut
from auditing.selectors.redacted import last_redacted
from auditing.selectors.tracked import Standing, standings
from auditing.services.event_trigger import EVENT_TRIGGER, event_trigger_stands

ROWS = 20_000
"""Of one slice."""
_CAPTURE = """
SELECT p.prosrc, p.prosecdef, p.proconfig, p.prolang FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace = 'history'::regnamespace AND p.proname = custody.audit_function_name(%s)
"""
_ELSEWHERE = """
SELECT g.tgrelid::regclass::text, g.tgname
FROM pg_catalog.pg_trigger AS g
JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid
WHERE g.tgname LIKE 'custody\\_audit\\_%%'
    AND g.tgrelid IN (SELECT %(table)s::oid
                      UNION SELECT t.relid FROM pg_partition_tree(%(table)s::oid::regclass) AS t)
    AND (p.pronamespace, p.proname::text)
        <> ('history'::regnamespace, custody.audit_function_name(%(history)s))
ORDER BY 1, 2
"""


def live_cut(
    tracked: TrackedTable, after: Sequence[str] | None, *, using: str
) -> tuple[str, ...] | None:
    """The last key of the slice that follows; None: it is the last slice."""
    live = _live(tracked, using)
    if live is None:
        return None
    shape, standing, whole = live
    assert standing.now is not None
    return cut(shape, standing.now, whole=whole, after=after, size=ROWS)


def live_verify(
    tracked: TrackedTable,
    after: Sequence[str] | None,
    upto: Sequence[str] | None,
    *,
    using: str,
) -> Found:
    """A slice of a table's rows.

    A table whose baseline is under way, or whose columns changed since the last `audit_sync`, is
    left out: what its rows were is not known yet.
    """
    looks: list[LiveSlice] = []
    for _ in range(2):
        live = _live(tracked, using)
        if live is None:
            return Found(0)
        shape, standing, whole = live
        assert standing.now is not None
        looks.append(live_slice(shape, standing.now, whole=whole, after=after, upto=upto))
        if not looks[0].different:
            break
    # A column may have got another type between reading its name and its rows.
    both = [each for each in looks[0].different if each in set(looks[-1].different)]
    both = _without_redacted(shape, both) if both else both
    return Found(looks[0].rows, tuple(_finding(tracked, standing, each) for each in both))


def _live(tracked: TrackedTable, using: str) -> tuple[Shape, Standing, bool] | None:
    """What is to be compared, and whether with its partitions; None: nothing can be."""
    standing = next(iter(standings(only=tracked, using=using)), None)
    if standing is None or standing.now is None or not history_exists(tracked):
        return None
    tracked.refresh_from_db()
    shape = shape_of(tracked)
    if tracked.baseline_seq is not None or standing.columns_changed or not comparable(shape):
        return None
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = %s::oid",
            [tracked.table_oid],
        )
        row = cursor.fetchone()
    return shape, standing, bool(row and row[0])


def _without_redacted(shape: Shape, found: list[Different]) -> list[Different]:
    """A column that was redacted in the last version is not compared: the row may still have it."""
    lost = last_redacted(shape, [each.record_id for each in found if each.how == "other"])
    if not lost:
        return found
    left = []
    for each in found:
        gone = {c.name for c in shape.columns if c.attnum in lost.get(each.record_id, ())}
        columns = tuple(name for name in each.columns if name not in gone)
        if columns or not gone:
            left.append(replace(each, columns=columns))
    return left


def _finding(tracked: TrackedTable, standing: Standing, each: Different) -> Finding:
    row = f"{standing.now} {each.record_id}"
    match each.how:
        case "other":
            text = (
                f"{row} is not what its last version says ({', '.join(each.columns)}): it was "
                "changed while nothing was captured, or the version was altered."
            )
        case "no version":
            text = f"{row} has no version: it was added while nothing was captured."
        case "gone":
            text = f"{row} is gone, and its last version is no deletion: nothing captured that."
    return Finding("live", text, tracked.pk, str(tracked.history), each.record_id)


def capture_verify(tracked: TrackedTable, *, using: str) -> Found:
    """That every change of the table is captured, by the function that was made for it."""
    findings = []
    for standing in standings(only=tracked, using=using):
        if standing.dropped:
            findings.append(f"{tracked} was dropped, and its audit was not ended.")
        if standing.triggers_missing:
            findings.append(f"Triggers of {tracked} are missing, off, or call something else.")
        elif standing.not_always and standing.owned:
            findings.append(f"Triggers of {tracked} do not fire in replica sessions any more.")
        if standing.dropped:
            continue
        findings += _elsewhere(tracked, using)
        if not standing.columns_changed and _was_replaced(tracked, using):
            findings.append(f"The capture function of {tracked} is not the one that was made.")
    return Found(
        1,
        tuple(Finding("capture", text, tracked.pk, str(tracked.history)) for text in findings),
    )


def event_trigger_verify(tracked: int | None, *, using: str) -> Found:
    """That the capture follows changes of the tables; one trigger does it for all of them.

    Args:
        tracked: only whether this one needs it.
    """
    relying = TrackedTable.objects.using(using).filter(untracked_at=None, guarded=False)
    if tracked is not None:
        relying = relying.filter(pk=tracked)
    if not relying.exists() or event_trigger_stands(using=using):
        return Found(1)
    text = (
        f"The event trigger {EVENT_TRIGGER} is missing or off: tables whose columns change, or "
        "whose triggers are taken away, are not captured as they should be."
    )
    return Found(1, (Finding("capture", text),))


def _elsewhere(tracked: TrackedTable, using: str) -> list[str]:
    with connections[using].cursor() as cursor:
        cursor.execute(_ELSEWHERE, {"table": tracked.table_oid, "history": tracked.history_name})
        return [
            f"The trigger {name} on {table} calls another function than the capture."
            for table, name in cursor.fetchall()
        ]


def _was_replaced(tracked: TrackedTable, using: str) -> bool:
    """Written again, it would be another. Nothing of that stays."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(_CAPTURE, [tracked.history_name])
        before = cursor.fetchone()
        cursor.execute("SELECT custody.capture_make(%s)", [tracked.pk])
        cursor.execute(_CAPTURE, [tracked.history_name])
        after = cursor.fetchone()
        transaction.set_rollback(True, using=using)
    return bool(before != after)
