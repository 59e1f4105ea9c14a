"""`manage.py roles_sql`: a console with these grants and nothing more does all its work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command

from config.embedded import EmbeddedPostgres
from tests import prepared

from .console import Console, address, execute, findings, names_of_wrong, psql
from .embedded_place import SETTINGS

pytestmark = pytest.mark.superuser

# The embedded server has a superuser "custody" already.
NAMES = ["--console", "keeper", "--application", "shopkeeper"]
DENIED = psycopg.errors.InsufficientPrivilege


@dataclass(frozen=True)
class Place:
    server: EmbeddedPostgres
    admin: Console
    """As the superuser."""
    console: Console
    """As the role that the script made."""
    script: str

    def sql(self, *statements: str) -> list[tuple[object, ...]]:
        return execute(self.server.url, *statements)

    def as_role(self, role: str, statement: str) -> list[tuple[object, ...]]:
        return self.sql(f'SET ROLE "{role}"', statement)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    version = prepared.tested_version()
    folder = tmp_path_factory.mktemp("roles") / "server"
    prepared.put_empty(folder, version)
    server = EmbeddedPostgres(folder, version=version, settings=SETTINGS, sync=False)
    server.hold()
    yield server
    server.release()


@pytest.fixture(scope="module")
def place(server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A shop whose tables belong to its own role, and a console that was let in by the script."""
    var = tmp_path_factory.mktemp("var")
    admin = Console(var, server.url)
    execute(
        server.url,
        "CREATE ROLE shopkeeper LOGIN",
        "GRANT CREATE ON DATABASE custody TO shopkeeper",
    )
    shop = Console(var, address(server.url, user="shopkeeper"))
    shop.manage("sample_load", "--scale", "0.02")
    psql(server.bin, server.url, admin.manage("roles_sql", *NAMES))
    execute(server.url, "ALTER ROLE keeper LOGIN")
    console = replace(admin, url=address(server.url, user="keeper"))
    console.manage("migrate", "-v0")
    script = admin.manage("roles_sql", *NAMES)
    psql(server.bin, server.url, script)
    console.agree("policy_import", "config/demo/policies.yaml")
    return Place(server, admin, console, script)


@pytest.mark.sql
def test_an_ordinary_role_migrates_purges_with_archives_and_is_found_well(place: Place) -> None:
    answer = place.console.document("purge_run")
    assert {run["state"] for run in answer["runs"]} == {"succeeded"}
    assert sum(run["done"] for run in answer["runs"]) > 0
    assert any(run["result"]["archive_bytes"] for run in answer["runs"])
    doctor = place.console.document("doctor")
    assert names_of_wrong(doctor) == []
    assert doctor["ok"] is True
    assert doctor["database"]["role"] == "keeper"
    assert doctor["database"]["superuser"] is False
    assert doctor["database"]["bypasses_row_security"] is False
    assert doctor["database"]["monitor"] is True


@pytest.mark.sql
def test_the_doctor_names_what_the_console_may_not_do_and_the_statements_that_mend_it(
    place: Place,
) -> None:
    """A grant that is missing, of a leaf partition too, and row security that hides rows."""
    [(leaf,)] = place.sql(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'shop.analytics_events'::regclass ORDER BY 1 LIMIT 1"
    )
    place.sql(
        "REVOKE DELETE, INSERT ON shop.notifications FROM keeper",
        f"REVOKE SELECT ON {leaf} FROM keeper",
        "REVOKE USAGE ON SCHEMA shop FROM keeper",
        "ALTER TABLE shop.sessions ENABLE ROW LEVEL SECURITY",
    )
    document = place.console.document("doctor")
    assert names_of_wrong(document)[0] == "grants"
    assert set(names_of_wrong(document)) == {"grants", "row security"}
    found = findings(document, "grants")
    about = next(each for each in found if "notifications" in each["detail"])
    assert "INSERT, DELETE on shop.notifications" in about["detail"]
    statement = about["remedy"].partition(" Or ")[0]
    assert statement == (
        'GRANT USAGE ON SCHEMA "shop" TO "keeper"; '
        'GRANT INSERT, DELETE ON "shop"."notifications" TO "keeper";'
    )
    about_leaf = next(each for each in found if str(leaf) in each["detail"])
    of_leaf = about_leaf["remedy"].partition(" Or ")[0]
    [found] = findings(document, "row security")
    assert "shop.sessions" in found["detail"]
    assert "BYPASSRLS" in found["remedy"]

    place.sql(*statement.rstrip(";").split(";"))
    place.sql("ALTER TABLE shop.sessions DISABLE ROW LEVEL SECURITY")
    # The one that is left.
    document = place.console.document("doctor")
    assert names_of_wrong(document) == ["grants"]
    [found] = findings(document, "grants")
    assert str(leaf) in found["detail"]
    place.sql(*of_leaf.rstrip(";").split(";"))
    assert place.console.document("doctor")["ok"] is True


def test_a_table_that_the_application_makes_later_is_open_to_the_console(place: Place) -> None:
    place.as_role("shopkeeper", "CREATE TABLE shop.later (n int)")
    place.as_role("keeper", "INSERT INTO shop.later VALUES (1)")
    assert place.as_role("keeper", "DELETE FROM shop.later RETURNING n") == [(1,)]


def test_the_console_may_not_change_the_application_s_schema(place: Place) -> None:
    for statement in ("CREATE TABLE shop.mine (n int)", "DROP TABLE shop.sessions"):
        with pytest.raises(DENIED):
            place.as_role("keeper", statement)


@pytest.mark.sql
def test_the_auditor_reads_all_but_passwords_and_sessions_and_changes_nothing(
    place: Place,
) -> None:
    role = "custody_auditor"
    place.as_role(role, "SELECT * FROM custody.operations_run")
    place.as_role(role, "SELECT username, is_staff FROM custody.auth_user")
    for statement in (
        "SELECT password FROM custody.auth_user",
        "SELECT * FROM custody.django_session",
        "SELECT * FROM shop.users",
        "DELETE FROM custody.operations_run",
        "UPDATE custody.operations_alert SET resolved_at = now()",
    ):
        with pytest.raises(DENIED):
            place.as_role(role, statement)


def test_the_auditor_reads_the_history_of_tables_that_are_audited_later(place: Place) -> None:
    place.console.manage("audit_track", "shop.products", "--reason", "test", "--no-input")
    number = "SELECT id FROM shop.products ORDER BY id LIMIT 1"
    place.as_role("shopkeeper", f"UPDATE shop.products SET name = 'new' WHERE id = ({number})")
    role = "custody_auditor"
    log = "SELECT action, new_data ->> 'name' FROM custody.audit_log WHERE operation = 'UPDATE'"
    assert ("UPDATE", "new") in place.as_role(role, log)
    assert place.as_role(role, "SELECT count(*) FROM history.shop__products_log WHERE id > 0")
    now = "SELECT row ->> 'name' FROM custody.as_of('shop.products', now()) AS row"
    assert ("new",) in place.as_role(role, f"{now} WHERE row ->> 'name' = 'new'")
    place.as_role(role, "SELECT * FROM custody.audit_log_of('shop.products', '1')")
    for statement in (
        "INSERT INTO history.shop__products SELECT * FROM history.shop__products",
        "DELETE FROM history.shop__products",
        "SELECT custody.capture_make(1)",
    ):
        with pytest.raises(DENIED):
            place.as_role(role, statement)
    for statement in (
        "SELECT * FROM custody.audit_log",
        "SELECT * FROM history.shop__products",
        "SELECT * FROM custody.as_of('shop.products', now())",
    ):
        with pytest.raises(DENIED):
            place.as_role("shopkeeper", statement)


@pytest.mark.sql
def test_the_application_enters_the_console_s_schema_and_reads_no_table_of_it(
    place: Place,
) -> None:
    assert place.sql("SELECT has_schema_privilege('shopkeeper', 'custody', 'USAGE')") == [(True,)]
    with pytest.raises(DENIED):
        place.as_role("shopkeeper", "SELECT * FROM custody.operations_run")


def test_the_backup_role_reads_everything_and_writes_nothing(place: Place) -> None:
    place.as_role("custody_backup", "SELECT * FROM shop.users")
    place.as_role("custody_backup", "SELECT * FROM custody.django_session")
    with pytest.raises(DENIED):
        place.as_role("custody_backup", "DELETE FROM shop.users")


def test_unusual_names_are_quoted_and_running_it_twice_changes_nothing(
    place: Place,
) -> None:
    url = address(place.server.url, dbname='sh"op $custody$')
    place.sql(
        'CREATE DATABASE "sh""op $custody$"',
        'CREATE ROLE "ow\'ner %s"',
    )
    execute(
        url,
        'CREATE SCHEMA "My ""Schema\\" AUTHORIZATION "ow\'ner %s"',
        'CREATE TABLE "My ""Schema\\"."Ta ble" (n int)',
    )
    names = [
        "--console",
        "con\"s'ole $custody$ :key: \t",
        "--application",
        "ap;p",
        "--backup",
        "b k",
    ]
    names += ["--auditor", "au\\ditor"]
    admin = replace(place.admin, url=url)
    for _ in range(2):
        psql(place.server.bin, url, admin.manage("roles_sql", *names))
    privileges = execute(
        url,
        "SELECT rolname FROM pg_roles WHERE has_table_privilege(rolname, "
        "'\"My \"\"Schema\\\".\"Ta ble\"', 'DELETE') AND NOT rolsuper AND rolname !~ '^pg_'",
    )
    assert privileges == [(names[1],)]
    owner = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'custody'"
    assert execute(url, owner) == [(names[1],)]


def test_what_a_superuser_migrated_is_handed_over(place: Place) -> None:
    place.sql("CREATE DATABASE before")
    admin = replace(place.admin, url=address(place.server.url, dbname="before"))
    admin.manage("migrate", "-v0")
    psql(place.server.bin, admin.url, admin.manage("roles_sql", *NAMES))
    others = execute(
        admin.url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'custody'::regnamespace"
        " AND pg_get_userbyid(relowner) <> 'keeper'",
    )
    assert others == []
    console = replace(admin, url=address(admin.url, user="keeper"))
    assert console.document("doctor")["ok"] is True


@pytest.mark.sql
def test_an_administrator_who_is_no_superuser_can_run_it(place: Place) -> None:
    place.sql(
        "CREATE ROLE administrator LOGIN CREATEROLE CREATEDB",
        "GRANT pg_monitor, pg_read_all_data TO administrator WITH ADMIN OPTION",
        "CREATE DATABASE managed OWNER administrator",
    )
    url = address(place.server.url, dbname="managed", user="administrator")
    execute(url, "CREATE SCHEMA app", "CREATE TABLE app.things (n int)")
    admin = replace(place.admin, url=url)
    names = ["--console", "m_console", "--auditor", "m_auditor", "--backup", "m_backup"]
    for _ in range(2):
        psql(place.server.bin, url, admin.manage("roles_sql", *names))
    execute(url, "SET ROLE m_console", "DELETE FROM app.things")


def test_json_holds_the_same_script(place: Place) -> None:
    assert place.admin.document("roles_sql", *NAMES)["sql"] == place.script


@pytest.mark.parametrize(
    "names", [["--console", "x" * 64], ["--console", "pg_x"], ["--auditor", "custody"]]
)
def test_names_that_cannot_be_roles_are_refused(names: list[str]) -> None:
    with pytest.raises(CommandError, match="role") as refused:
        call_command("roles_sql", *names)
    assert refused.value.returncode == 2


def test_the_database_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    done = Console(tmp_path, "postgresql://x@localhost:1/x").run("roles_sql")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
