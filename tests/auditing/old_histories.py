"""A history of three years, written by hand, and a model of what was in its table at any moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from auditing.models import HistoryColumn, Layout, TrackedColumn, TrackedTable
from retention.models import RetentionPolicy
from tests.auditing.histories import OWN

Execute = Callable[..., list[tuple[Any, ...]]]
MONTHS = 36
KEY = '"1_Id €"'
VALUE = '"2_total"'
Rows = dict[int, int]


def months() -> list[datetime]:
    """The first of each month, from so long ago to this one's."""
    this = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = [this]
    for _ in range(MONTHS):
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found[::-1]


def made_old(name: str = "stock") -> TrackedTable:
    """The history of `app.<name>`, with a partition a month, the first from the beginning of time
    and the last to its end."""
    history = f"history.app__{name}"
    starts = months()
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS history")
        for sequence in ("audit_seq", "audit_statement_seq"):
            cursor.execute(f"CREATE SEQUENCE IF NOT EXISTS custody.{sequence}")
        cursor.execute(f"DROP TABLE IF EXISTS {history}")
        cursor.execute(
            f"CREATE TABLE {history} ({OWN}, {KEY} bigint, {VALUE} int) PARTITION BY RANGE (at)"
        )
        cursor.execute(f"CREATE INDEX ON {history} ({KEY}, seq)")
        for number, start in enumerate(starts):
            begin = "MINVALUE" if number == 0 else f"'{start}'"
            end = "MAXVALUE" if number == MONTHS else f"'{starts[number + 1]}'"
            cursor.execute(
                f"CREATE TABLE {history}_p{start:%Y%m} PARTITION OF {history}"
                f" FOR VALUES FROM ({begin}) TO ({end})"
            )
    tracked = TrackedTable.objects.create(
        schema_name="app", table_name=name, table_oid=1, history_name=f"app__{name}"
    )
    for attnum, (column, type_) in enumerate([("Id €", "bigint"), ("total", "integer")], 1):
        TrackedColumn.objects.create(
            tracked=tracked,
            attnum=attnum,
            name=column,
            type=type_,
            key_position=1 if attnum == 1 else None,
        )
        HistoryColumn.objects.create(
            tracked=tracked,
            attnum=attnum,
            source_type=type_,
            name=f"{attnum}_{column}",
            type=type_,
        )
    Layout.objects.create(tracked=tracked, attnums=[1, 2], names=["Id €", "total"])
    return tracked


class Past:
    """Changes at random moments of the three years, and the rows after each."""

    def __init__(self, tracked: TrackedTable, *, changes: int, seed: int) -> None:
        self.tracked = tracked
        self.states: list[tuple[datetime, Rows]] = []
        chance = random.Random(seed)
        start, end = months()[0] - timedelta(days=40), timezone.now() - timedelta(hours=1)
        moments = sorted(start + chance.random() * (end - start) for _ in range(changes))
        rows: Rows = {}
        written = []
        for seq, moment in enumerate(moments, 1):
            # Some keys are busy, and some change once and never again.
            key = min(chance.randrange(1, 40), chance.randrange(1, 40))
            if key not in rows:
                op = chance.choice("IIIB")
                rows[key] = seq
            else:
                op = chance.choice("UUUUDTR")
                if op == "U":
                    rows[key] = seq
                else:
                    del rows[key]
            written.append((seq, seq, seq, op, moment, key, rows.get(key, seq)))
            self.states.append((moment, dict(rows)))
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {tracked.history}"
                f" (seq, statement, xid, op, at, layout, db_user, {KEY}, {VALUE})"
                " VALUES (%s, %s, %s, %s, %s, 1, 'app', %s, %s)",
                written,
            )

    def at(self, moment: datetime) -> Rows:
        found: Rows = {}
        for changed, rows in self.states:
            if changed > moment:
                break
            found = rows
        return found


def shown(execute: Execute, tracked: TrackedTable, moment: datetime) -> Rows:
    """The rows at a moment, as the history tells them."""
    found = execute(
        f"SELECT DISTINCT ON ({KEY}) {KEY}, {VALUE}, op FROM {tracked.history}"
        f" WHERE at <= %s ORDER BY {KEY}, seq DESC",
        [moment],
    )
    return {key: value for key, value, op in found if op in ("I", "U", "B", "C")}


def partitions(execute: Execute, tracked: TrackedTable) -> list[str]:
    return [
        name
        for (name,) in execute(
            "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass ORDER BY 1",
            [str(tracked.history)],
        )
    ]


def history_policy(tracked: TrackedTable, **terms: Any) -> RetentionPolicy:
    given = {
        "name": f"history of {tracked.table}",
        "schema_name": "history",
        "table_name": tracked.history_name,
        "age_column": "at",
        "keep_hours": 24 * 730,
        "archive_first": True,
        **terms,
    }
    return RetentionPolicy.objects.create(**given)
