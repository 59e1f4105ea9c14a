"""The history held against what was seen of the tables."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from auditing.models import TrackedTable
from auditing.selectors.versions import version_at
from auditing.services.statement_summarise import statement_summarise

from .audit_model import (
    THERE,
    Found,
    Key,
    Rewrite,
    Sight,
    Table,
    Wanted,
    compare,
    newest,
    read_history,
)
from .audit_sessions import Left, Session
from .random_tables import Shape

CLEAR = """
DROP SCHEMA IF EXISTS app CASCADE;
CREATE SCHEMA app;
DO $block$
DECLARE
    history text;
BEGIN
    FOR history IN SELECT history_name FROM custody.auditing_trackedtable LOOP
        EXECUTE format('DROP TABLE IF EXISTS history.%I CASCADE', history);
    END LOOP;
END
$block$;
TRUNCATE custody.auditing_trackedtable, custody.operations_run CASCADE;
"""
_AS_TEXT = ("app.pair", "app.mood[]", "json")
"""Types whose JSON is another one once they are kept as text, or compared as text."""


@dataclass(frozen=True)
class Moment:
    """What was committed of a table at a time."""

    table: Table
    at: datetime
    sight: Sight
    jsons: dict[Key, dict[int, Any]]
    commits: int
    """How many transactions of writers had ended by then."""


def as_json(
    session: psycopg.Connection[Any], table: Table, sight: Sight
) -> dict[Key, dict[int, Any]]:
    keys = sql.SQL(", ").join(
        sql.SQL("t.{}::text").format(sql.Identifier(c.name))
        for attnum in table.key
        for c in sight.columns
        if c.attnum == attnum
    )
    found = session.execute(
        sql.SQL("SELECT to_jsonb(t.*), {} FROM {} t").format(keys, sight.name)
    ).fetchall()
    return {tuple(key): {c.attnum: row[c.name] for c in sight.columns} for row, *key in found}


def counted(left: Iterable[Left], place: int) -> int:
    return sum(len(each) for tables in left for each in tables[place].values())


def exactly(left: Sequence[Left], place: int, versions: Iterable[Found]) -> None:
    """A transaction's versions are those that its statements had to leave, key by key."""
    wanted: dict[Key, list[Wanted]] = defaultdict(list)
    for tables in left:
        for key, each in tables[place].items():
            wanted[key] += each
    found: dict[Key, list[Wanted]] = defaultdict(list)
    for version in versions:
        if version.op != "B":
            found[version.key].append(version.wanted)
    assert found == wanted


def replayed(
    moments: Sequence[Moment],
    rewrites: Mapping[int, Sequence[Rewrite]],
    commits: Mapping[int, int],
    observer: Session,
) -> None:
    """The history replayed to each moment shows what the table was."""
    statement_summarise()
    chance = random.Random(len(moments))
    for table in {moment.table for moment in moments}:
        versions = read_history(observer.connection, table)
        _images_agree(versions, rewrites[table.oid])
        of_table = [moment for moment in moments if moment.table == table]
        for moment in of_table:

            def counts(version: Found, at: Moment = moment) -> bool:
                # An image of the baseline was true all along, whoever wrote it down.
                return version.at <= at.at and (
                    version.op == "B" or commits[version.xid] < at.commits
                )

            last = newest(versions, counts)
            compare(table, moment.sight, last, rewrites[table.oid], moment.at)
            _same_as_of(observer, moment, of_table[-1].sight, last)
            if chance.random() < 3 / len(of_table):
                _same_selected(moment, chance, last)


def _images_agree(versions: Iterable[Found], rewrites: Sequence[Rewrite]) -> None:
    """An image of the baseline contradicts nothing that was there before it."""
    last: dict[Key, Found] = {}
    for version in versions:
        before = last.get(version.key)
        if version.op == "B" and before is not None:
            arrived = any(version.key in r.keys and before.at < r.at for r in rewrites)
            assert before.op in THERE or arrived
            both = version.values.keys() & before.values.keys() if before.op in THERE else set()
            for attnum in both:
                if not any(r.attnum == attnum and before.at < r.at for r in rewrites):
                    assert version.values[attnum] == before.values[attnum]
        last[version.key] = version


def _same_as_of(observer: Session, moment: Moment, now: Sight, last: Mapping[Key, Found]) -> None:
    """custody.as_of() shows them under the names of now."""
    table = moment.table
    retyped = {
        attnum
        for (attnum,) in observer.connection.execute(
            "SELECT attnum FROM custody.auditing_historycolumn WHERE tracked_id = %s"
            " GROUP BY attnum HAVING count(*) > 1",
            [table.tracked],
        )
    }
    rows = observer.connection.execute(
        "SELECT custody.as_of(%s::oid::regclass, %s)", [table.oid, moment.at]
    ).fetchall()
    names = {c.attnum: c.name for c in now.columns}
    same = [
        c.attnum
        for c in moment.sight.columns
        if c.attnum in names
        and c.attnum not in retyped
        and c.type not in _AS_TEXT
        and c.generated != "v"
        and c.attnum not in table.masked | table.excluded
    ]
    found = {tuple(_text(row[names[attnum]]) for attnum in table.key): row for (row,) in rows}
    # Which those are is compared with the table already.
    assert found.keys() == {key for key, version in last.items() if version.op in THERE}
    assert len(found) == len(rows)
    for key in found:
        row = moment.jsons[key]
        known = [a for a in same if last[key].values.get(a) == moment.sight.rows[key][a]]
        assert {a: found[key][names[a]] for a in known} == {a: row[a] for a in known}


def _text(value: Any) -> str:
    return str(value)


def _same_selected(moment: Moment, chance: random.Random, last: Mapping[Key, Found]) -> None:
    """The versions that people are shown are the same."""
    tracked = TrackedTable.objects.get(pk=moment.table.tracked)
    for key in chance.sample(sorted(last, key=str), min(3, len(last))):
        written = str(key[0]) if len(key) == 1 else json.dumps(key)
        version = version_at(tracked, written, moment.at)
        assert version is not None, (key, moment.at)
        assert (version.seq, version.operation) == (last[key].seq, last[key].op)
        shown = {a: v for a, v in version.values.items() if v is not None}
        assert shown == {a: v for a, v in last[key].values.items() if v is not None}


def leaf_sight(session: psycopg.Connection[Any], table: Table, sight: Sight, seed: int) -> Sight:
    """A partition by its own name; its rows are some of the table's."""
    leaves = session.execute(
        "SELECT c.relname, c.oid::regclass::text FROM pg_partition_tree(%s) p"
        " JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf ORDER BY 1",
        [table.oid],
    ).fetchall()
    name = random.Random(seed).choice(leaves)[0]
    keys = sql.SQL(", ").join(
        sql.SQL("t.{}::text").format(sql.Identifier(c.name))
        for attnum in table.key
        for c in sight.columns
        if c.attnum == attnum
    )
    leaf = sql.Identifier("app", name)
    found = session.execute(sql.SQL("SELECT {} FROM {} t").format(keys, leaf)).fetchall()
    return replace(sight, name=leaf, rows={tuple(k): sight.rows[tuple(k)] for k in found})


def key_dropped(session: psycopg.Connection[Any], table: Table) -> sql.Composable:
    row = session.execute(
        "SELECT n.nspname, c.relname, k.conname FROM pg_constraint k"
        " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE k.conrelid = %s AND k.contype = 'p'",
        [table.oid],
    ).fetchone()
    assert row
    return sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
        sql.Identifier(*row[:2]), sql.Identifier(row[2])
    )


def key_added(sight: Sight, shape: Shape, table: Table, seed: int) -> sql.Composable:
    """A key that is made again may be deferrable: then id = id + 1 moves all rows at once."""
    names = {c.attnum: c.name for c in sight.columns}
    deferrable = not shape.child and seed % 3
    return sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({}){}").format(
        sight.name,
        sql.SQL(", ").join(sql.Identifier(names[attnum]) for attnum in table.key),
        sql.SQL(" DEFERRABLE INITIALLY IMMEDIATE" if deferrable else ""),
    )
