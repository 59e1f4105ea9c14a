"""The state machine of test_audit_machine: what people and applications do with audited tables."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

import psycopg
from django.contrib.auth.models import User
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from psycopg import sql

from auditing.exceptions import TableBusy
from auditing.models import TrackedTable
from auditing.services.baseline import baseline_run
from auditing.services.sync import table_sync
from auditing.services.track import TrackTerms, table_track

from . import audit_replay, random_tables
from .audit_model import Found, Key, Rewrite, Table, compare, look, newest, read_history
from .audit_replay import Moment
from .audit_sessions import Session
from .random_tables import CHILD, KINDS, PARTITIONS, SHAPES, Shape, Statement, Writer
from .sessions import session as connect

sessions = st.integers(0, 2)
seeds = st.integers(0, 10**6)


class Audit(RuleBasedStateMachine):
    """One table, or two that hang together, from the start of its audit to its end."""

    person: User
    execute: Callable[..., Any]
    clear: Callable[[], None]
    event_trigger: bool
    compared: ClassVar[dict[str, int]] = {}

    @initialize(shape=st.sampled_from(SHAPES), seed=seeds, rows=st.integers(1, 6))
    def begin(self, shape: Shape, seed: int, rows: int) -> None:
        self.clear()
        self.shape, chance = shape, random.Random(seed)
        self.said: list[str] = []
        self.sessions = [Session(connect(), self.said, odd=n == 2) for n in range(3)]
        self.observer = Session(connect(), self.said)
        self.tables: list[tuple[Shape, Table]] = []
        self.rewrites: dict[int, list[Rewrite]] = {}
        self.moments: list[Moment] = []
        self.commits: dict[int, int] = {}
        self.attached: list[Key] = []
        self.total: dict[int, int] = {}
        self.execute(random_tables.TYPES)
        made = [(shape, shape.create.replace("{}", "{0}", 1).replace("{}", "{1}"))]
        made += [(CHILD, shape.child.replace("{}", "{1}"))] if shape.child else []
        for each, create in made:
            name = sql.Identifier("app", each.name).as_string()
            self.say(create.format(name, random_tables.columns_text(chance)))
            for statement in each.rest:
                self.say(statement)
        late = chance.random() < 0.5
        for each, _ in made:
            if late:
                self.track(each)
        self.made = made
        if not late:
            # With rows that nobody saw coming.
            for each, _ in made:
                self.track(each, seed=chance.randint(0, 10**6), rows=rows)

    def say(self, statement: str) -> None:
        note(statement)
        self.execute(statement)

    def track(self, shape: Shape, *, seed: int = 0, rows: int = 0) -> None:
        name = sql.Identifier("app", shape.name).as_string()
        oid = self.execute("SELECT %s::regclass::oid::bigint", [name])[0][0]
        facts = dict(
            self.execute("SELECT attname, attnum FROM pg_attribute WHERE attrelid = %s", [oid])
        )
        table = Table(
            oid,
            0,
            "",
            tuple(facts[column] for column in shape.key),
            frozenset(facts[column] for column in shape.masked),
            frozenset(facts[column] for column in shape.excluded),
        )
        if rows:
            session = self.sessions[0]
            parents = look(session.connection, self.tables[0][1]).rows if self.tables else {}
            for number in range(rows):
                sight = look(session.connection, table)
                writer = Writer(shape, table, sight, seed + number, parents)
                session.attempt(writer.make("insert"))
        tracked = table_track(
            name,
            actor=self.person,
            reason="machine",
            terms=TrackTerms(exclude=shape.excluded, mask=shape.masked),
        )
        table = replace(table, tracked=tracked.pk, history=tracked.history_name)
        self.tables.append((shape, table))
        self.rewrites[oid], self.total[oid] = [], 0

    @property
    def anything_open(self) -> bool:
        return any(session.open for session in self.sessions)

    def an_open(self, number: int) -> Session:
        found = [session for session in self.sessions if session.open]
        return found[number % len(found)]

    # What people do.

    @rule(number=sessions, again=st.booleans())
    def open(self, number: int, again: bool) -> None:
        session = self.sessions[number]
        if session.open:
            return
        session.begin("REPEATABLE READ" if again else "READ COMMITTED")
        if again:
            # It has seen the tables: nobody changes their columns before it ends.
            for _, table in self.tables:
                if session.look(table) is None:
                    session.rollback()
                    return

    @rule(changes=st.lists(st.tuples(sessions, st.sampled_from(KINDS), seeds), min_size=2))
    def write(self, changes: list[tuple[int, str, int]]) -> None:
        for number, kind, seed in changes:
            session = self.sessions[number]
            with session.transaction(self):
                self.write_in(session, kind, seed)

    def write_in(self, session: Session, kind: str, seed: int) -> bool:
        chance = random.Random(seed)
        shape, table = chance.choice(self.tables)
        if kind == "truncate" and session.looks_back:
            # It would empty the table also of rows that it cannot see, nor can its triggers.
            kind = "delete"
        statement = self.statement(session, shape, table, kind, seed, leaf=chance.random() < 0.3)
        return statement is not None and self.run(session, statement)

    def statement(
        self,
        session: Session,
        shape: Shape,
        table: Table,
        kind: str,
        seed: int,
        *,
        leaf: bool = False,
    ) -> Statement | None:
        sight = session.look(table)
        parents = session.look(self.tables[0][1])
        if sight is None or parents is None:
            return None
        if leaf and shape.partitioned:
            sight = audit_replay.leaf_sight(session.connection, table, sight, seed)
        return Writer(shape, table, sight, seed, parents.rows).make(kind)

    def run(self, session: Session, statement: Statement) -> bool:
        """In a savepoint of its own; what it has to leave follows from before and after."""
        before = [session.look(table) for _, table in self.tables]
        if None in before:
            return False
        if not session.attempt(statement):
            return False
        session.expect(self.tables, [sight for sight in before if sight], statement)
        return True

    @rule(number=sessions)
    @precondition(lambda self: self.anything_open)
    def savepoint(self, number: int) -> None:
        self.an_open(number).savepoint()

    @rule(number=sessions)
    @precondition(lambda self: self.anything_open)
    def rollback_to(self, number: int) -> None:
        self.an_open(number).rollback_to()

    @rule(number=sessions, kept=st.sampled_from([True, True, False]))
    @precondition(lambda self: self.anything_open)
    def close(self, number: int, kept: bool) -> None:
        self.end(self.an_open(number), kept=kept)

    @rule(number=sessions, seed=seeds, alone=st.booleans(), then=st.integers(0, 2))
    def alter(self, number: int, seed: int, alone: bool, then: int) -> None:
        """Columns change; in the same transaction rows do, too, and sometimes all is undone."""
        session = self.sessions[number]
        if alone:
            self.quiet(session)
        with session.transaction(self):
            shape, table = random.Random(seed).choice(self.tables)
            for _ in range(1 + seed % 2):
                session.alter(shape, table, seed)
                seed += 7
            for more in range(then):
                self.write_in(session, random.Random(seed + more).choice(KINDS), seed + more)

    @rule(number=sessions, seed=seeds)
    def key_made_again(self, number: int, seed: int) -> None:
        """Without its key a table's rows are changed as before; then it has one again."""
        session = self.sessions[number]
        self.quiet(None)
        with session.transaction(self):
            shape, table = self.tables[-1]
            if shape.partitioned:
                return
            if not session.ddl(audit_replay.key_dropped(session.connection, table)):
                return
            for more in range(seed % 3):
                kind = random.Random(seed + more).choice(
                    ("insert", "update", "rekey_far", "delete")
                )
                self.write_in(session, kind, seed + more)
            sight = session.look(table)
            assert sight is not None
            assert session.ddl(audit_replay.key_added(sight, shape, table, seed))

    @rule(number=sessions, filled=st.booleans())
    @precondition(lambda self: self.shape.name in PARTITIONS and len(self.attached) < 2)
    def partition(self, number: int, filled: bool) -> None:
        session = self.sessions[number]
        self.quiet(None)
        if filled:
            # Else they would be among the rows of before the audit, and there since then.
            self.baseline()
        with session.transaction(self):
            self.attach(session, filled=filled)
        if not self.event_trigger:
            # Until then changes made in the new partition by its name leave no version.
            self.synced()

    def attach(self, session: Session, *, filled: bool) -> None:
        """A new partition, which may come with rows that nobody saw coming."""
        table = self.tables[0][1]
        sight, at = session.look(table), session.now()
        assert sight is not None
        count = len(self.attached)
        bounds, key = PARTITIONS[self.shape.name][count]
        made = sql.Identifier("app", f"attached {count}")
        self.attached.append(key)
        assert session.ddl(
            sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(made, sight.name)
        )
        if filled and key not in sight.rows:
            writer = Writer(self.shape, table, sight, count)
            assert session.ddl(
                sql.SQL("INSERT INTO {} ({}) VALUES {}").format(
                    made, writer.targets, writer.row(key)
                )
            )
        done = session.ddl(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES {}").format(
                sight.name, made, sql.SQL(bounds)
            )
        )
        after = session.look(table)
        assert after is not None
        if done and after.rows != sight.rows:
            arrived = Rewrite(0, at, keys=after.rows.keys() - sight.rows.keys())
            session.rewrites.append((table.oid, arrived))

    @rule()
    def synced(self) -> None:
        self.said.append("audit_sync")
        for _, table in self.tables:
            with suppress(TableBusy):
                table_sync(TrackedTable.objects.get(pk=table.tracked), actor=self.person)

    @rule()
    def baseline(self) -> None:
        for _, table in self.tables:
            self.baseline_of(table)

    def baseline_of(self, table: Table) -> None:
        tracked = TrackedTable.objects.get(pk=table.tracked)
        if any(session.altered or session.wanted for session in self.sessions):
            # It would wait for them.
            return
        self.said.append(f"baseline since {tracked.baseline_seq}, {tracked.baseline_at}")
        run = baseline_run(tracked, requester=self.person)
        assert run is None or run.state == "succeeded", run.error
        for rewrite in self.rewrites[table.oid]:
            if rewrite.known_from is None:
                rewrite.known_from = self.known_from(tracked, rewrite)
        tracked.refresh_from_db()
        assert tracked.baseline_seq is None

    def known_from(self, tracked: TrackedTable, rewrite: Rewrite) -> datetime | None:
        """Since when the images hold the values, now that a baseline is through."""
        if tracked.baseline_at is not None and tracked.baseline_at >= rewrite.at:
            return tracked.baseline_at
        if self.event_trigger:
            return rewrite.at
        # Where no event trigger may, audit_sync is the first to see a changed column.
        synced, committed = tracked.synced_at, rewrite.committed
        return synced if committed is not None and synced >= committed else None

    @rule(first=sessions, kept=st.booleans(), seed=seeds)
    def one_waits_for_the_other(self, first: int, kept: bool, seed: int) -> None:
        """Both change the same row: the later one goes on when the earlier one has ended."""
        one, other = self.sessions[first], self.sessions[first - 1]
        self.quiet(None)
        one.begin("READ COMMITTED")
        chance = random.Random(seed)
        self.write_in(one, chance.choice(("update_all", "delete", "conflict", "rekey")), seed)
        shape, table = self.tables[0]
        kind = chance.choice(("update", "update_all", "delete", "conflict", "merge"))
        statement = self.statement(self.observer, shape, table, kind, seed + 1)
        assert statement is not None
        other.begin("READ COMMITTED")
        with other.waiting(statement) as ended:
            other.wait_until_blocked(self.observer.connection, ended)
            self.end(one, kept=kept)
        before = [look(self.observer.connection, table) for _, table in self.tables]
        if other.done:
            other.expect(self.tables, before, statement)
        self.end(other, kept=True)

    # What must be true after each.

    def quiet(self, but: Session | None) -> None:
        for session in self.sessions:
            if session is not but and session.open:
                self.end(session, kept=True)

    def end(self, session: Session, *, kept: bool) -> None:
        """A transaction ends: exactly its changes have their versions, exactly as they were."""
        if kept:
            wanted, rewrites, xid = session.commit()
            if xid is not None:
                self.commits[xid] = len(self.commits)
            for oid, found in rewrites:
                self.rewrites[oid].append(found)
        else:
            session.rollback()
            wanted, xid = [], None
        for place, (_, table) in enumerate(self.tables):
            versions = self.settled(table)
            if versions is None:
                # Somebody has the table for himself: when he ends, all is counted.
                self.total[table.oid] += audit_replay.counted(wanted, place)
                continue
            self.total[table.oid] += audit_replay.counted(wanted, place)
            assert sum(v.op != "B" for v in versions) == self.total[table.oid]
            audit_replay.exactly(wanted, place, [v for v in versions if v.xid == xid])

    def settled(self, table: Table) -> list[Found] | None:
        """What is committed of a table is in its history; remembers the moment."""
        view = self.observer.connection
        try:
            with view.transaction():
                view.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                sight = look(view, table)
                versions = read_history(view, table)
                jsons = audit_replay.as_json(view, table, sight)
                at = view.execute("SELECT clock_timestamp()").fetchone()[0]  # type: ignore[index]
        except psycopg.errors.LockNotAvailable:
            return None
        tracked = TrackedTable.objects.get(pk=table.tracked)
        pending = tracked.baseline_seq is not None
        known = {v.key for v in versions}
        compare(
            table,
            sight,
            newest(versions),
            self.rewrites[table.oid],
            at,
            unborn=lambda key: pending and key not in known,
        )
        self.moments.append(Moment(table, at, sight, jsons, len(self.commits)))
        Audit.compared["moments"] = Audit.compared.get("moments", 0) + 1
        Audit.compared["versions"] = Audit.compared.get("versions", 0) + len(versions)
        return versions

    def teardown(self) -> None:
        if not hasattr(self, "tables"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.quiet(None)
                self.synced()
                self.baseline()
                audit_replay.replayed(self.moments, self.rewrites, self.commits, self.observer)
        finally:
            for session in [*self.sessions, self.observer]:
                session.connection.close()
            note("\n".join(self.said))
