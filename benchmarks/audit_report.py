"""The lines of the audit benchmark, from what its rounds measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import audit_bulk, audit_single
from benchmarks.audit_peers import CASES as ORM_CASES
from benchmarks.audit_tables import FLOOR, FLOOR_OWN, NONE, WAYS

Key = tuple[str, str]
"""A way of auditing (or a floor) and what is done."""
Bulk = dict[Key, list[audit_bulk.Measured]]
Single = dict[Key, list[audit_single.Measured]]
Orm = dict[str, list[dict[str, Any]]]
Line = dict[str, object]


def bulk(measured: Bulk) -> list[Line]:
    lines = []
    floors = {name: measured[name, audit_bulk.INSERT] for name in (FLOOR, FLOOR_OWN)}
    for key, runs in measured.items():
        way, operation = key
        line: Line = {
            "case": way if way in floors else f"{operation}, {way}",
            "seconds": _round(_median(x.seconds for x in runs), 3),
            "ratio": None,
            "peak_mib": _round(max(x.peak_mib for x in runs), 1),
            "cpu_seconds": _round(_median(x.cpu for x in runs), 3),
            "ratio_own": None,
            "ratio_of_seconds": None,
            "captured": runs[-1].captured,
            "history_bytes": _round(runs[-1].history_bytes, 0),
            "wal_bytes": _round(_median(x.wal_bytes for x in runs), 0),
        }
        if way not in floors and way != NONE.name:
            bare = measured[NONE.name, operation]
            line["ratio"] = _overhead(runs, bare, floors[FLOOR])
            line["ratio_own"] = _overhead(runs, bare, floors[FLOOR_OWN])
            line["ratio_of_seconds"] = _overhead(runs, bare, floors[FLOOR], processor=False)
        lines.append(line)
    order = [*floors, *(f"{o}, {w.name}" for o in audit_bulk.OPERATIONS for w in WAYS)]
    return sorted(lines, key=lambda x: order.index(str(x["case"])))


def orm(measured: Orm, floors: Bulk) -> list[Line]:
    """Of a tenth of the rows; overhead and floor are compared row by row."""
    lines: list[Line] = []
    bare: list[float] = []
    floor = [_cost(x) for x in floors[FLOOR, audit_bulk.INSERT]]
    for case in ORM_CASES:
        runs = measured[case]
        costs = [x["seconds"] if math.isnan(x["cpu"]) else x["cpu"] for x in runs]
        audited = "simple-history" in case
        line: Line = {
            "case": case,
            "seconds": _round(_median(x["seconds"] for x in runs), 3),
            "ratio": None,
            "peak_mib": _round(max(x["peak_mib"] for x in runs), 1),
            "cpu_seconds": _round(_median(x["cpu"] for x in runs), 3),
            "captured": runs[-1]["captured"],
        }
        if audited:
            ratios = [(a - b) * 10 / c for a, b, c in zip(costs, bare, floor, strict=True)]
            line["ratio"] = _round(_median(ratios), 1)
        bare = costs
        lines.append(line)
    return lines


def single(measured: Single) -> list[Line]:
    lines = []
    for (way, operation), runs in measured.items():
        bare = measured[NONE.name, operation]
        pairs = list(zip(runs, bare, strict=True))
        lines.append(
            {
                "case": f"one row, {operation}, {way}",
                "seconds": None,
                "ratio": _round(_median(a.tps / b.tps for a, b in pairs), 2),
                "peak_mib": None,
                "tps": _round(_median(x.tps for x in runs), 0),
                "cpu_microseconds": _round(_median(x.cpu for x in runs), 1),
                "cpu_ratio": _round(_median(b.cpu / a.cpu for a, b in pairs), 2),
            }
        )
    order = [f"one row, {o}, {w.name}" for o in audit_single.SCRIPTS for w in WAYS]
    return sorted(lines, key=lambda x: order.index(str(x["case"])))


def _overhead(
    runs: Sequence[audit_bulk.Measured],
    bare: Sequence[audit_bulk.Measured],
    floor: Sequence[audit_bulk.Measured],
    *,
    processor: bool = True,
) -> float | None:
    cost = _cost if processor else lambda x: x.seconds
    rounds = zip(runs, bare, floor, strict=True)
    return _round(_median((cost(a) - cost(b)) / cost(c) for a, b, c in rounds), 2)


def _cost(run: audit_bulk.Measured) -> float:
    return run.seconds if math.isnan(run.cpu) else run.cpu


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _round(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)


def show(lines: Sequence[Line]) -> None:
    """Tables in Markdown, as docs/performance.md has them."""
    groups: tuple[tuple[str, Mapping[str, str]], ...] = (
        (
            "captured",
            {
                "case": "case",
                "seconds": "seconds",
                "cpu_seconds": "processor",
                "ratio": "overhead / floor",
                "ratio_own": "overhead / second floor",
                "ratio_of_seconds": "of seconds",
                "captured": "versions",
                "history_bytes": "history, bytes a row",
                "wal_bytes": "WAL, bytes a row",
                "peak_mib": "peak memory, MiB",
            },
        ),
        (
            "tps",
            {
                "case": "case",
                "tps": "a second",
                "ratio": "to no audit",
                "cpu_microseconds": "processor, us",
                "cpu_ratio": "no audit's to this",
            },
        ),
    )
    for mark, columns in groups:
        chosen = [x for x in lines if mark in x]
        if chosen:
            print("| " + " | ".join(columns.values()) + " |")
            print("|---" + "|---:" * (len(columns) - 1) + "|")
            for line in chosen:
                print("| " + " | ".join(_cell(line.get(x)) for x in columns) + " |")
            print()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)
