"""A console with people of every role, and something on every page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from auditing.models import ChangeStatement, Operation, TrackedTable
from auditing.services.track import table_track
from operations.models import Alert, Certificate, Run
from operations.runs.states import RunState
from operations.services.alerts import alert_raise
from operations.services.certificates import certificate_issue
from operations.services.runs import plan_digest, run_log
from retention.models import Archive, ArchivePart, LegalHold, RetentionPolicy
from retention.services.hold_place import ScopeAsked, hold_place

ROLES = ("officer", "support", "operator", "auditor")
PASSWORD = "a long enough password"


def person(name: str, *, role: str = "", password: str | None = None, **more: Any) -> User:
    """Somebody who may sign in; without `role`, somebody who may do nothing."""
    user = User.objects.create_user(name, password=password, is_staff=True, **more)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make_table(rows: int = 20) -> None:
    """`app.events` with so many due rows, gone with the test's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA app")
        cursor.execute("CREATE TABLE app.events (id int PRIMARY KEY, created_at timestamptz)")
        cursor.execute(
            "INSERT INTO app.events SELECT n, now() - interval '400 days'"
            " FROM generate_series(1, %s) n",
            [rows],
        )


def make_policy(name: str = "events", **terms: Any) -> RetentionPolicy:
    given = {
        "schema_name": "app",
        "table_name": "events",
        "age_column": "created_at",
        "keep_hours": 24 * 365,
        **terms,
    }
    return RetentionPolicy.objects.create(name=name, **given)


def make_run(
    policy: RetentionPolicy, requester: User, state: RunState = RunState.QUEUED, **more: Any
) -> Run:
    """A purge as it stands in `state`, planned by nobody in particular."""
    cutoff = (timezone.now() - timedelta(days=365)).isoformat()
    plan = {
        "policy": policy.name,
        "policy_version": policy.version,
        "table": str(policy.table),
        "cutoff": cutoff,
        "age_column": policy.age_column,
        "keep_while": "",
        "disposition": "destroyed",
        "walk": {"by": "ctid", "columns": [], "reason": "whole pages"},
        "due": 1_234_567,
        "kept_by_condition": 8_901,
        "estimated": False,
    }
    parameters = {"policy": policy.pk, "policy_name": policy.name, "cutoff": cutoff}
    owned = state in (RunState.RUNNING, RunState.PAUSING, RunState.VERIFYING)
    given: dict[str, Any] = {
        "kind": "purge",
        "total": 1_234_567,
        "reason": "the law says so",
        "approval_reason": "More rows than ever." if state == "awaiting_approval" else "",
        "error": "The disk is full." if state == "failed" else "",
        "finished_at": timezone.now() if state in ("succeeded", "cancelled") else None,
        "started_at": timezone.now() - timedelta(minutes=3) if owned else None,
        # Owned by this very session, which is alive: a run that somebody works on.
        **(_alive() if owned else {}),
        **more,
    }
    run = Run.objects.create(
        subject=policy.name,
        state=state,
        plan=plan,
        parameters=parameters,
        plan_hash=plan_digest(plan, parameters),
        requester=requester,
        **given,
    )
    run_log(run, f"Asked for by {requester}.")
    return run


def _alive() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, backend_start FROM pg_catalog.pg_stat_activity"
            " WHERE pid = pg_catalog.pg_backend_pid()"
        )
        pid, start = cursor.fetchone()
    return {
        "worker": "far-away:1",
        "backend_pid": pid,
        "backend_start": start,
        "heartbeat_at": timezone.now(),
        "lease_until": timezone.now() + timedelta(hours=1),
    }


def make_archive(run: Run, policy: RetentionPolicy, *, parts: int = 3) -> Archive:
    archive = Archive.objects.create(
        name=f"{policy.name}-{run.pk}",
        run=run,
        policy=policy,
        policy_version=policy.version,
        schema_name=policy.schema_name,
        table_name=policy.table_name,
        state=Archive.State.COMPLETE,
        folder=f"archives/{policy.name}-{run.pk}",
        layout={"columns": [{"name": "id", "type": "integer"}]},
        rows=1_000 * parts,
        bytes=2_048 * parts,
        manifest_sha256="ab" * 32,
        completed_at=timezone.now(),
    )
    ArchivePart.objects.bulk_create(
        ArchivePart(
            archive=archive,
            number=number,
            schema_name=policy.schema_name,
            table_name=policy.table_name,
            file=f"{archive.folder}/part-{number:06d}.csv.zst",
            rows=1_000,
            bytes=2_048,
            plain_bytes=8_192,
            sha256=f"{number:064x}",
            window={},
        )
        for number in range(1, parts + 1)
    )
    return archive


def make_certificate(run: Run) -> Certificate:
    body = {
        "statement": "1,234,567 rows had reached the end of their term and were destroyed.",
        "disposition": "destroyed",
        "cutoff": "2030-01-02T03:04:05+00:00",
        "tables": [{"table": "app.events", "rows": 1_234_567}],
        "policy": {"name": run.subject, "version": 1},
        "copies_that_remain": ["Backups hold the rows until they expire."],
    }
    return certificate_issue(kind="disposition", subject=run.subject, body=body, run=run)


def make_hold(placed_by: User, case: str = "2031-17", table: str = "app.events") -> LegalHold:
    """On two rows of a table with the key 1 and 2."""
    return hold_place(
        case_id=case,
        reason="The court asked.",
        scopes=[ScopeAsked(table, rows=["1", "2"])],
        placed_by=placed_by,
    ).hold


@dataclass(frozen=True)
class Audited:
    """A table with one record, `1`, that was added and changed, and the statement that did it."""

    tracked: TrackedTable
    change: ChangeStatement
    seq: int
    """Of its first version."""


def make_audited(actor: User) -> Audited:
    """`app.audited`, whose last change is a line of the log, made by hand: nothing is committed."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE app.audited (id text PRIMARY KEY, note text)")
        tracked = table_track("app.audited", actor=actor, reason="to be looked at")
        cursor.execute("INSERT INTO app.audited VALUES ('1', 'old')")
        cursor.execute("UPDATE app.audited SET note = 'new'")
        cursor.execute('SELECT seq, statement, xid FROM history."app__audited" ORDER BY seq')
        (first, *_), (seq, statement, xid) = cursor.fetchall()
    change = ChangeStatement.objects.create(
        id=statement,
        tracked=tracked,
        operation=Operation.UPDATE,
        xid=xid,
        at=timezone.now(),
        rows=1,
        first_seq=seq,
        last_seq=seq,
        changed=["note"],
        actor="app:4711",
        session_user="app",
    )
    return Audited(tracked, change, first)


@dataclass(frozen=True)
class Console:
    """One object for every kind of page."""

    policy: RetentionPolicy
    run: Run
    archive: Archive
    certificate: Certificate
    hold: LegalHold
    alert: Alert
    requester: User


def furnished() -> Console:
    """The run waits for approval; what an earlier one did is archived and certified."""
    requester = person("asker", role="operator")
    make_table()
    policy = make_policy()
    done = make_run(policy, requester, RunState.SUCCEEDED, done=1_234_567)
    run = make_run(policy, requester, RunState.AWAITING_APPROVAL)
    return Console(
        policy=policy,
        run=run,
        archive=make_archive(done, policy),
        certificate=make_certificate(done),
        hold=make_hold(requester),
        alert=alert_raise(key=f"run-approval:{run.pk}", summary="It waits.", run=run),
        requester=requester,
    )
