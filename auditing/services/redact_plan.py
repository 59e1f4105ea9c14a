"""What a redaction would do: whose versions, which of them have a value, and what would remain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections, transaction

from auditing.exceptions import NoSuchVersion, RedactRefused, RestoreRefused
from auditing.models import TrackedTable
from auditing.redactions import places
from auditing.selectors.images import Shape, history_exists, shape_of
from auditing.selectors.keys import key_values
from auditing.selectors.lifetimes import stretches_of
from auditing.selectors.queries import pin
from auditing.selectors.redactable import (
    RECORDS,
    WHOLE,
    Redactable,
    Stretch,
    earlier_histories,
    live_with_value,
    picks_of,
    redactable,
)
from auditing.selectors.restorable import restorable
from auditing.selectors.tracked import tracked_get
from auditing.selectors.version_rows import records_where
from auditing.selectors.versions import versions_of
from auditing.services.redact_vetoes import redact_vetoes
from operations.catalogue.identifiers import quoted
from operations.conditions.check import check_condition
from operations.conditions.describe import describe
from operations.conditions.nodes import And, Comparison, Condition, Not, Or
from operations.conditions.parse import parse_condition
from operations.runs.kinds import Plan

MOST = 100_000
"""Records of one redaction: its plan names them all."""
_SHOWN = 5


@dataclass(frozen=True)
class Wanted:
    """What somebody asks for. Not kept: the condition may say the very value that is to go."""

    table: str
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()
    where: str = ""
    vacuum_full: bool = False


def redact_plan(wanted: Wanted, *, using: str) -> Plan:
    """Looks, and changes nothing. A total of 0: no version has a value in these columns.

    Raises:
        NotTracked, NoSuchVersion, BadColumns: there is no such table, record or column.
        ConditionRefused: of the condition.
        RedactRefused: it cannot be redacted so; the text says what can be done instead.
        Vetoed: somebody protects one of the versions.
    """
    tracked = tracked_get(wanted.table, using=using)
    if not history_exists(tracked):
        raise RedactRefused(f"The history of {tracked} is gone: there is nothing to redact.")
    shape = shape_of(tracked)
    if not shape.key:
        raise RedactRefused(
            f"{tracked} has no key any more, so nobody can tell whose versions these are. Let its "
            "history reach the end of its term."
        )
    columns = redactable(shape, wanted.columns)
    elsewhere = [said for each in places() for said in each.planned(tracked, using=using)]
    records, chosen_by = _records(shape, wanted, bool(elsewhere), using)
    stretches = stretches_of(shape, records, using=using)
    versions, values_in = _versions(tracked, shape, columns, stretches, using)
    other = sorted({each.record_id for each in stretches if (each.first, each.last) != WHOLE})
    facts = {
        "table": str(tracked),
        "history": str(tracked.history),
        "columns": [each.name for each in columns],
        "chosen_by": chosen_by,
        "records": len(records),
        "record_ids": [*records[:_SHOWN], *(["..."] if len(records) > _SHOWN else [])],
        "under_other_keys": other[:_SHOWN],
        "versions": versions,
        "months": values_in,
        "cautions": _cautions(tracked, shape, columns, records, using),
        "elsewhere": elsewhere,
        "vacuum_full": wanted.vacuum_full,
    }
    return Plan(
        subject=str(tracked),
        facts=facts,
        total=versions,
        parameters={
            "tracked": tracked.pk,
            "columns": [each.image.attnum for each in columns],
            "stretches": [list(each) for each in stretches],
            "vacuum_full": wanted.vacuum_full,
        },
        approval_reason=(
            f"Values of {versions:,} versions of {tracked} would be destroyed for ever: another "
            "person has to approve it."
        ),
    )


def redact_plan_lines(plan: dict[str, Any]) -> list[str]:
    """The plan for whoever decides."""
    records = [f"records: {plan['records']:,}, by {plan['chosen_by']}"]
    records += [f"  {', '.join(plan['record_ids'])}"] if plan["record_ids"] else []
    if other := plan["under_other_keys"]:
        records.append(f"  and what they were under other keys: {', '.join(other)}")
    months = f", of {', '.join(plan['months'])}" if plan["months"] else ""
    return [
        f"columns of {plan['table']}: {', '.join(map(quoted, plan['columns']))}",
        *records,
        f"versions with a value: {plan['versions']:,}{months}",
        *(["tables are written anew where two seconds are enough"] if plan["vacuum_full"] else []),
        *plan["elsewhere"],
        *plan["cautions"],
    ]


def _records(shape: Shape, wanted: Wanted, elsewhere: bool, using: str) -> tuple[list[str], str]:
    if wanted.where:
        records, said = _by_condition(shape, wanted.where, using)
    else:
        records = [_record(shape, key, elsewhere=elsewhere) for key in wanted.keys]
        said = f"key {', '.join(records[:_SHOWN])}"
    if len(records) > MOST:
        raise RedactRefused(
            f"{len(records):,} records were chosen, and one redaction takes {MOST:,} at most: "
            "choose them in several, by ranges of the key for example."
        )
    return list(dict.fromkeys(records)), said


def _record(shape: Shape, key: str, *, elsewhere: bool) -> str:
    """Of a record whose versions are all kept elsewhere, as it is written in one of its types."""
    page = versions_of(shape.tracked, key, limit=1, shape=shape)
    if not page.versions and elsewhere:
        values = key_values(shape, key)
        return values[0] if len(values) == 1 else json.dumps(values, separators=(",", ":"))
    if not page.versions:
        raise NoSuchVersion(f"{shape.tracked} {key} has no versions.")
    return page.versions[0].record_id


def _by_condition(shape: Shape, where: str, using: str) -> tuple[list[str], str]:
    try:
        target = restorable(shape)
    except RestoreRefused as error:
        raise RedactRefused(
            f"A condition cannot be asked of these versions: {error} Name the records: --key."
        ) from None
    condition = parse_condition(where, target.table)
    check_condition(condition, target.table, using=using)
    with transaction.atomic(using=using), target.ready():
        pin(using=using)
        with connections[using].cursor() as cursor:
            cursor.execute(records_where(shape, target, condition))
            records = [key for (key,) in cursor.fetchall()]
    return records, f"versions where {describe(_without_values(condition))}"


def _without_values(condition: Condition) -> Condition:
    """What may stay in the run's row: the shape of the condition."""
    match condition:
        case And(parts):
            return And(tuple(_without_values(part) for part in parts))
        case Or(parts):
            return Or(tuple(_without_values(part) for part in parts))
        case Not(part):
            return Not(_without_values(part))
        case Comparison():
            if condition.value is None:
                return condition
            hidden = ("…",) * len(condition.value) if isinstance(condition.value, tuple) else "…"
            return replace(condition, value=hidden)


def _versions(
    tracked: TrackedTable,
    shape: Shape,
    columns: Sequence[Redactable],
    stretches: Sequence[Stretch],
    using: str,
) -> tuple[int, list[str]]:
    """How many have a value, and in which months of the history they are."""
    count, months = 0, set()
    for some in slices(stretches):
        picks = picks_of(shape, columns, some, using=using)
        if picks:
            redact_vetoes(tracked, picks, using=using)
        count += len(picks)
        months |= {pick.at[:7] for pick in picks}
    return count, sorted(months)


def slices(stretches: Sequence[Stretch]) -> Iterable[Sequence[Stretch]]:
    return (stretches[start : start + RECORDS] for start in range(0, len(stretches), RECORDS))


def _cautions(
    tracked: TrackedTable,
    shape: Shape,
    columns: Sequence[Redactable],
    records: Sequence[str],
    using: str,
) -> list[str]:
    """Where the values would still be, or come back from."""
    told = []
    live = sum(
        live_with_value(shape, columns, records[start : start + RECORDS], using=using)
        for start in range(0, len(records), RECORDS)
    )
    if live and tracked.untracked_at is None:
        told.append(
            f"{live:,} of the records {'is' if live == 1 else 'are'} in {tracked} now, with a "
            "value there: it stays, and the next change of the row brings it into the history "
            "again. If it is what has to go, change the row first."
        )
    chosen = {each.image.attnum for each in columns}
    computed = [
        quoted(each.name)
        for each in shape.captured
        if each.generated == "stored" and each.attnum not in chosen
    ]
    if computed:
        told.append(
            f"{', '.join(computed)} is computed by PostgreSQL and may hold the values in another "
            "form: name it too (--column)."
        )
    told += [
        f"{history} is of an earlier audit of a table of this name, and is not touched."
        for history in earlier_histories(tracked)
    ]
    return told
