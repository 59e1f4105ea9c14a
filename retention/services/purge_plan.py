"""What a purge would do, looked at before anything is done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import OperationalError, connections, transaction
from psycopg import errors, sql

from operations import vetoes
from operations.batches.choose import walk_choose
from operations.catalogue.read import table as read_table
from operations.conditions.describe import describe
from operations.conditions.render import render
from operations.conditions.structure import from_json
from operations.runs.kinds import Plan
from operations.selectors.runs import recent_maximum
from operations.session import set_local
from retention.exceptions import PurgeRefused
from retention.models import RetentionPolicy
from retention.selectors.dependents import Graph, dependents_graph
from retention.selectors.due import (
    AGE_TYPES,
    DueRows,
    age_column,
    due,
    expired,
    not_referenced,
)
from retention.selectors.hold_honoured import held_by
from retention.services.layout import fingerprint

COUNT_SECONDS = 10
"""Counting is exact up to this time; beyond it PostgreSQL's estimate is used, and said."""


def purge_plan(*, policy: RetentionPolicy, now: datetime, using: str) -> Plan:
    """Counts what is due and decides how to walk. Changes nothing.

    Raises:
        PurgeRefused: the policy must not or cannot be carried out; its text says why.
        Vetoed: the whole table is protected.
    """
    table = read_table(policy.table, using=using)
    graph = dependents_graph(table=table, dependents=policy.dependents, using=using)
    refuse_unsafe(policy, graph)
    cutoff = policy.cutoff(now)
    assert cutoff is not None
    keep = from_json(policy.keep_condition) if policy.keep_condition else None
    rows = DueRows(table, policy.age_column, cutoff, keep)
    column = age_column(rows)
    counts, pages = _count(rows, using)
    share = counts["due"] / table.estimated_rows if table.estimated_rows > 0 else None
    walk = walk_choose(
        table,
        age_column=column.name if column.base_type in AGE_TYPES else "",
        share=share,
        using=using,
    )
    facts = {
        "policy": policy.name,
        "policy_version": policy.version,
        "table": str(table.name),
        "cutoff": cutoff.isoformat(),
        "age_column": column.name,
        "keep_while": describe(keep) if keep else "",
        "disposition": disposition(policy),
        "walk": walk.to_json(),
        **counts,
        "held_by": held_by(rows, using=using),
    }
    most = recent_maximum(kind="purge", subject=policy.name)
    parameters = {
        "policy": policy.pk,
        "policy_name": policy.name,
        "policy_version": policy.version,
        "most_unapproved": None if most is None else 2 * most,
        "table": [policy.schema_name, policy.table_name],
        "age_column": policy.age_column,
        "cutoff": cutoff.isoformat(),
        "keep_condition": policy.keep_condition,
        "archive": policy.archive_first,
        "archive_days": policy.archive_days,
        "walk": walk.to_json(),
        "pages": pages if walk.by == "ctid" and table.kind == "table" else None,
        "dependents": policy.dependents,
        "fingerprint": fingerprint(policy.table, using=using),
    }
    return Plan(
        subject=policy.name,
        facts=facts,
        total=counts["due"],
        parameters=parameters,
        approval_reason=_surge(most, counts["due"]),
    )


def refuse_unsafe(policy: RetentionPolicy, graph: Graph) -> None:
    """Raises PurgeRefused for what could destroy more, or less, than the policy says."""
    if policy.soft_delete:
        raise PurgeRefused(
            f"Policy {policy.name} deletes softly first, which this version cannot do yet: "
            "it waits, and nothing was touched."
        )
    if policy.keeps_for_ever:
        raise PurgeRefused(f"Policy {policy.name} keeps its rows for ever: nothing is ever due.")
    if not policy.enabled:
        raise PurgeRefused(f"Policy {policy.name} is not enabled.")
    if policy.dependents:
        raise PurgeRefused(f"Policy {policy.name} names dependents, which cannot go along yet.")
    for refusal in graph.refusals:
        raise PurgeRefused(refusal)


def disposition(policy: RetentionPolicy) -> str:
    if not policy.archive_first:
        return "destroyed"
    if policy.archive_days is None:
        return "archived"
    return f"archived for {policy.archive_days:,} days"


def _surge(most: int | None, total: int) -> str:
    if most is None or total <= 2 * most:
        return ""
    return (
        f"{total:,} rows are due, more than twice the {most:,} that a recent run of this policy "
        "removed at most: another person has to approve it."
    )


def _count(rows: DueRows, using: str) -> tuple[dict[str, Any], list[int] | None]:
    """Rows past their term, by what happens to them; a row is counted once, in this order.

    And the first page with due rows and the page after the last, where they were looked at.
    """
    unprotected = vetoes.unprotected(vetoes.protections(rows.table, using=using), table=rows.table)
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE {due}),"
        " count(*) FILTER (WHERE kept), count(*) FILTER (WHERE kept IS NULL),"
        " count(*) FILTER (WHERE kept IS FALSE AND NOT free),"
        " count(*) FILTER (WHERE kept IS FALSE AND free AND referred),"
        " min(age)::text, max(age)::text,"
        " min(place) FILTER (WHERE {due})::text, max(place) FILTER (WHERE {due})::text"
        " FROM (SELECT {kept} AS kept, {free} AS free, {referred} AS referred, {age} AS age,"
        " t.ctid AS place"
        # The fence keeps each of them from being asked again wherever it is counted by.
        " FROM {table} t WHERE {expired} OFFSET 0) AS t"
    ).format(
        due=sql.SQL("kept IS FALSE AND free AND NOT referred"),
        kept=_kept(rows),
        free=sql.SQL("({}) IS TRUE").format(unprotected),
        referred=sql.SQL("NOT ({})").format(not_referenced(rows)),
        age=_age(rows),
        table=rows.table.name.sql,
        expired=expired(rows),
    )
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            set_local({"statement_timeout": f"{COUNT_SECONDS}s"}, using=using)
            cursor.execute(query)
            found = cursor.fetchone()
    except OperationalError as error:
        if not isinstance(error.__cause__, errors.QueryCanceled):
            raise
        return _estimate(rows, unprotected, using), None
    names = ("due", "kept_by_condition", "undecided", "protected", "referenced")
    counts = dict(zip(names, found[:5], strict=True))
    facts = {**counts, "oldest": found[5], "newest": found[6], "estimated": False}
    return facts, [_page(found[7]), _page(found[8]) + 1] if counts["due"] else [0, 0]


def _page(place: str) -> int:
    """Of a ctid as text, `(page,item)`."""
    return int(place.strip("()").split(",")[0])


def _kept(rows: DueRows) -> sql.Composable:
    if rows.keep is None:
        return sql.SQL("false")
    return render(rows.keep, rows.table, alias="t")


def _age(rows: DueRows) -> sql.Composable:
    column = age_column(rows)
    name = sql.Identifier("t", column.name)
    if column.base_type in AGE_TYPES:
        return name
    return sql.SQL("pg_catalog.upper({})").format(name)


def _estimate(rows: DueRows, unprotected: sql.Composable, using: str) -> dict[str, Any]:
    query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} t WHERE {}").format(
        rows.table.name.sql, due(rows, unprotected, walking=False)
    )
    with connections[using].cursor() as cursor:
        cursor.execute(query)
        plan = cursor.fetchone()[0]
    return {"due": int(plan[0]["Plan"]["Plan Rows"]), "estimated": True}
