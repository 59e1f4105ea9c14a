"""What a role may do to the audit it writes through: the application's, and the table's owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from auditing.models import SealBlock, TrackedTable
from auditing.selectors.tracked import standings
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_watch import audit_watch
from auditing.services.baseline import baseline_run
from auditing.services.statement_summarise import statement_summarise
from auditing.services.track import table_track

from .test_verify_clean import verified

pytestmark = [pytest.mark.sql, pytest.mark.superuser, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]
Session = psycopg.Connection[Any]
APPLICATION, OWNER = "roles_application", "roles_owner"
DENIED = (psycopg.errors.InsufficientPrivilege,)
TO_CALL = {"set_context", "clear_context", "context_user"}
"""What the application may call in our schema."""


@pytest.fixture
def notes(execute: Execute, person: User) -> Iterator[TrackedTable]:
    """A table of its owner's that the application writes, as roles_sql has it."""
    gone(execute)
    for role in (APPLICATION, OWNER):
        execute(f"CREATE ROLE {role}")
    execute(f"GRANT USAGE, CREATE ON SCHEMA app TO {APPLICATION}, {OWNER}")
    execute(f"GRANT USAGE ON SCHEMA custody TO {APPLICATION}, {OWNER}")
    execute("CREATE TABLE app.notes (id int PRIMARY KEY, text text)")
    execute(f"ALTER TABLE app.notes OWNER TO {OWNER}")
    execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON app.notes TO {APPLICATION}")
    tracked = table_track("app.notes", actor=person, reason="the law")
    execute("INSERT INTO app.notes SELECT n, 'a' FROM generate_series(1, 5) n")
    audit_seal()
    yield tracked
    execute("DROP EVENT TRIGGER IF EXISTS custody_audit_ddl")
    gone(execute)


def gone(execute: Execute) -> None:
    for role in (APPLICATION, OWNER):
        if execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]):
            execute(f"DROP OWNED BY {role} CASCADE")
            execute(f"DROP ROLE {role}")


def as_role(other_session: Callable[[], Session], role: str) -> Session:
    session = other_session()
    session.execute(f"SET SESSION AUTHORIZATION {role}")
    return session


def ops(execute: Execute) -> str:
    [(found,)] = execute("SELECT string_agg(op::text, '' ORDER BY seq) FROM history.app__notes")
    return str(found)


def attempts(month: str) -> list[str]:
    tables = [
        "history.app__notes",
        f"history.{month}",
        *(
            f"custody.auditing_{name}"
            for name in (
                "sealblock", "sealsection", "sealposition", "redactedvalue", "removal",
                "trackedtable", "trackedcolumn", "layout", "numbering", "changecontext",
                "changestatement", "changetransaction", "auditevent", "summaryposition",
            )
        ),
    ]  # fmt: skip
    on_each = [
        "SELECT * FROM {}",
        "COPY {} TO STDOUT",
        "INSERT INTO {} SELECT * FROM {}",
        "DELETE FROM {}",
        "TRUNCATE {}",
        "DROP TABLE {} CASCADE",
        "ALTER TABLE {} RENAME TO mine",
        "ALTER TABLE {} DISABLE TRIGGER ALL",
        "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
        "CREATE RULE r AS ON INSERT TO {} DO INSTEAD NOTHING",
        "CREATE TRIGGER t BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION app.nothing()",
        "GRANT ALL ON {} TO PUBLIC",
    ]
    return [
        *(each.replace("{}", table) for table in tables for each in on_each),
        "UPDATE history.app__notes SET op = 'D'",
        f"ALTER TABLE history.app__notes DETACH PARTITION history.{month}",
        "SELECT setval('custody.audit_seq', 1)",
        "SELECT nextval('custody.audit_statement_seq')",
        "ALTER SEQUENCE custody.audit_seq RESTART",
        "SET session_replication_role = replica",
        "ALTER EVENT TRIGGER custody_audit_ddl DISABLE",
        "DROP EVENT TRIGGER custody_audit_ddl",
        "DROP SCHEMA history CASCADE",
        "DROP SCHEMA custody CASCADE",
        "CREATE FUNCTION custody.mine() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TABLE history.mine (n int)",
        (
            "CREATE OR REPLACE FUNCTION history.app__notes_capture() RETURNS trigger"
            " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        ),
        (
            "CREATE OR REPLACE FUNCTION custody.audit_tag(record_id text) RETURNS bigint"
            " LANGUAGE sql IMMUTABLE RETURN 1"
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON app.lure REFERENCING NEW TABLE AS custody_new"
            " FOR EACH STATEMENT EXECUTE FUNCTION history.app__notes_capture()"
        ),
    ]


ON_THE_TABLE = [
    "ALTER TABLE app.notes DISABLE TRIGGER ALL",
    "ALTER TABLE app.notes DISABLE TRIGGER custody_audit_insert",
    "DROP TRIGGER custody_audit_update ON app.notes",
    "ALTER TABLE app.notes OWNER TO roles_application",
    "ALTER TABLE app.notes ADD COLUMN more text",
    "TRUNCATE app.notes",
    "DROP TABLE app.notes",
    "CREATE RULE r AS ON UPDATE TO app.notes DO INSTEAD NOTHING",
    "CREATE TRIGGER a BEFORE INSERT ON app.notes FOR EACH ROW EXECUTE FUNCTION app.nothing()",
]


def refused(session: Session, statements: list[str]) -> list[str]:
    """Those that were not."""
    left = []
    for statement in statements:
        try:
            session.execute(statement)
        except DENIED:
            continue
        except psycopg.Error as error:
            left.append(f"{statement}: {error}")
        else:
            left.append(statement)
    return left


def prepare(execute: Execute, role: str) -> None:
    execute("CREATE TABLE app.lure (id int PRIMARY KEY, text text)")
    execute(f"ALTER TABLE app.lure OWNER TO {role}")
    execute(
        "CREATE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )


@pytest.mark.parametrize("role", [APPLICATION, OWNER])
def test_neither_who_writes_a_table_nor_its_owner_reaches_the_history_or_the_seals(
    notes: TrackedTable,
    execute: Execute,
    person: User,
    other_session: Callable[[], Session],
    role: str,
) -> None:
    prepare(execute, role)
    [(month,)] = execute("SELECT tableoid::regclass::text FROM history.app__notes LIMIT 1")
    before = (ops(execute), SealBlock.objects.count())
    session = as_role(other_session, role)
    assert refused(session, attempts(month.removeprefix("history."))) == []
    if role == APPLICATION:
        assert refused(session, ON_THE_TABLE) == []
    assert (ops(execute), SealBlock.objects.count()) == before
    session.execute("INSERT INTO app.notes VALUES (6, 'still captured')")
    assert ops(execute) == before[0] + "I"
    audit_seal()
    assert verified(person)[1] == []


def test_of_our_functions_the_application_may_call_three(
    notes: TrackedTable, execute: Execute
) -> None:
    found = execute(
        "SELECT DISTINCT p.proname FROM pg_proc p"
        " WHERE p.pronamespace IN ('custody'::regnamespace, 'history'::regnamespace)"
        " AND has_function_privilege(%s, p.oid, 'EXECUTE')"
        " AND p.proname ~ 'audit|context|capture'",
        [APPLICATION],
    )
    assert {name for (name,) in found} == TO_CALL


def test_no_setting_and_no_object_of_its_own_keeps_a_change_from_being_captured(
    notes: TrackedTable,
    execute: Execute,
    person: User,
    other_session: Callable[[], Session],
) -> None:
    session = as_role(other_session, APPLICATION)
    oid = notes.table_oid
    for statement in (
        "CREATE FUNCTION app.nextval(regclass) RETURNS bigint LANGUAGE sql RETURN 1",
        "CREATE FUNCTION app.txid_current() RETURNS bigint LANGUAGE sql RETURN 1",
        "CREATE FUNCTION app.not_same(int, int) RETURNS boolean LANGUAGE sql RETURN false",
        "CREATE OPERATOR app.= (LEFTARG = int, RIGHTARG = int, FUNCTION = app.not_same)",
        "CREATE OPERATOR app.<> (LEFTARG = int, RIGHTARG = int, FUNCTION = app.not_same)",
        "CREATE TEMP TABLE custody_new (id int, text text)",
        "CREATE TEMP TABLE custody_old (id int, text text)",
        "CREATE TEMP TABLE pg_attribute (attrelid oid, attnum int)",
        "SET search_path = app, pg_temp, pg_catalog",
        f"SET custody.purging = ' {oid} '",
        "SET custody.run = '1'",
        "SET custody.context_id = '1'",
        "SET custody.unpaired = '1'",
        f"SET custody.flags = 'n{oid}:1:1;'",
        "SET row_security = off",
        "SET custody.context = 'no json'",
        "INSERT INTO app.notes VALUES (10, 'x')",
        "UPDATE app.notes SET text = 'y' WHERE id OPERATOR(pg_catalog.=) 10",
        "UPDATE app.notes SET id = 11 WHERE id OPERATOR(pg_catalog.=) 10",
        "DELETE FROM app.notes WHERE id OPERATOR(pg_catalog.=) 11",
    ):
        session.execute(statement)
    assert ops(execute) == "I" * 5 + "IURUD"
    found = execute("SELECT count(DISTINCT xid), count(DISTINCT seq) FROM history.app__notes")
    assert found == [(5, 10)]
    audit_seal()
    assert verified(person)[1] == []


def test_a_number_that_a_session_makes_up_keeps_nothing_from_being_told(
    notes: TrackedTable,
    execute: Execute,
    person: User,
    other_session: Callable[[], Session],
) -> None:
    """Rows that come one by one have their statement's number from a setting."""
    execute("CREATE TABLE app.base (id int)")
    execute("CREATE TABLE app.child (PRIMARY KEY (id)) INHERITS (app.base)")
    execute(f"GRANT SELECT, INSERT ON app.child TO {APPLICATION}")
    child = table_track("app.child", actor=person, reason="the law")
    assert child.row_level
    session = as_role(other_session, APPLICATION)
    session.execute(
        "DO $$ BEGIN FOR depth IN 0 .. 2 LOOP"
        f" PERFORM set_config('custody.row_statement', '{child.table_oid}:INSERT:' || depth"
        " || ':' || extract(epoch FROM statement_timestamp()) || ':1', true);"
        " INSERT INTO app.child VALUES (depth); END LOOP; END $$"
    )
    assert execute("SELECT count(*) FROM history.app__child WHERE statement > 1") == [(3,)]
    statement_summarise()
    audit_seal()
    assert verified(person)[1] == []


def test_triggers_that_the_owner_disables_are_put_back_at_once(
    notes: TrackedTable, execute: Execute, other_session: Callable[[], Session]
) -> None:
    """By the event trigger; without the right to make one, the watch and verification find it."""
    session = as_role(other_session, OWNER)
    session.execute("ALTER TABLE app.notes DISABLE TRIGGER ALL")
    session.execute("UPDATE app.notes SET text = 'b'")
    assert ops(execute) == "I" * 5 + "U" * 5


@pytest.mark.parametrize(
    "trick",
    [
        "ALTER TABLE app.notes DISABLE TRIGGER ALL",
        "DROP TRIGGER custody_audit_update ON app.notes",
        (
            "CREATE OR REPLACE TRIGGER custody_audit_update AFTER UPDATE ON app.notes"
            " FOR EACH STATEMENT EXECUTE FUNCTION app.nothing()"
        ),
    ],
)
def test_what_an_owner_changes_while_the_capture_is_off_is_found(
    notes: TrackedTable,
    execute: Execute,
    person: User,
    other_session: Callable[[], Session],
    trick: str,
) -> None:
    prepare(execute, OWNER)
    execute("ALTER EVENT TRIGGER custody_audit_ddl DISABLE")
    session = as_role(other_session, OWNER)
    session.execute(trick)
    session.execute("UPDATE app.notes SET text = 'secretly' WHERE id = 3")
    assert ops(execute) == "I" * 5
    found = verified(person)[1]
    assert any("app.notes 3" in each and "nothing was captured" in each for each in found), found
    off = ("Triggers of app.notes are missing", "calls another function")
    assert any(each.startswith(off[0]) or off[1] in each for each in found), found
    if "REPLACE" not in trick:
        assert standings(only=notes)[0].triggers_missing
        audit_watch()
        notes.refresh_from_db()
        # A gap is told by new images of all rows, and by an alert.
        assert notes.baseline_seq is not None
        baseline_run(notes, requester=person)
        session.execute("UPDATE app.notes SET text = 'openly' WHERE id = 3")
        assert ops(execute).endswith("BBBBBU")
