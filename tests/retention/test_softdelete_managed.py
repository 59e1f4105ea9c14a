"""Where the console is an ordinary role and somebody else owns the tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from .catalogue_state import catalogue_state
from .softdelete_tables import SHOP, Execute, command, enable, refusal

pytestmark = [pytest.mark.sql, pytest.mark.superuser, pytest.mark.usefixtures("governed")]
OWNER, CONSOLE, APPLICATION = "soft_owner", "soft_console", "soft_application"


def gone(execute: Execute) -> None:
    for role in (CONSOLE, APPLICATION, OWNER):
        if execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]):
            execute(f"DROP OWNED BY {role} CASCADE")
            execute(f"DROP ROLE {role}")


@pytest.fixture
def managed(execute: Execute) -> Iterator[None]:
    """Tables of their owner's, with what roles_sql grants the console; the console asks."""
    gone(execute)
    for role in (OWNER, CONSOLE, APPLICATION):
        execute(f"CREATE ROLE {role}")
    execute(f"GRANT USAGE, CREATE ON SCHEMA app TO {OWNER}")
    execute(SHOP)
    for name in ("users", "addresses", "orders", "lines", "tickets"):
        execute(f"ALTER TABLE app.{name} OWNER TO {OWNER}")
    execute(f"GRANT USAGE ON SCHEMA app TO {CONSOLE}, {APPLICATION}")
    rights = "SELECT, INSERT, UPDATE, DELETE"
    execute(f"GRANT {rights}, TRIGGER ON ALL TABLES IN SCHEMA app TO {CONSOLE}")
    execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA app TO {APPLICATION}")
    execute(f"GRANT USAGE, CREATE ON SCHEMA custody TO {CONSOLE}")
    execute(f"GRANT ALL ON ALL TABLES IN SCHEMA custody TO {CONSOLE}")
    execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA custody TO {CONSOLE}")
    execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA custody TO {CONSOLE}")
    execute(f"SET ROLE {CONSOLE}")
    yield
    connection.close()
    gone(execute)


def test_it_says_who_has_to_do_what(managed: None, execute: Execute) -> None:
    code, told = refusal("softdelete_enable", "app.users")
    assert code == 3
    assert f"GRANT CREATE ON SCHEMA app TO {CONSOLE};" in told
    assert f"Only the owner of app.users may change it: GRANT {OWNER} TO {CONSOLE}; or let" in told
    assert "Only the owner of app.addresses" in told


def test_with_the_owners_role_granted_it_goes_through(managed: None, execute: Execute) -> None:
    execute("RESET ROLE")
    execute(f"GRANT {OWNER} TO {CONSOLE}")
    execute(f"SET ROLE {CONSOLE}")
    assert len(enable("app.users")["tables"]) == 2
    command("softdelete_disable", "app.users")


def test_what_the_owner_did_by_the_printed_sql_is_found_and_goes_on(
    managed: None, execute: Execute
) -> None:
    execute("RESET ROLE")
    execute(f"GRANT CREATE ON SCHEMA app TO {CONSOLE}")
    execute(f"SET ROLE {CONSOLE}")
    printed = []
    with pytest.raises(Exception, match="Something is in the way"):
        command("softdelete_enable", "app.users", "--dry-run")
    from retention.selectors.softdelete_plan import softdelete_plan

    for step in softdelete_plan("app.users").steps:
        printed += step.text() if step.owners else []
    execute("RESET ROLE")
    execute(f"SET ROLE {OWNER}")
    for statement in printed:
        execute(statement)
    execute("RESET ROLE")
    execute(f"SET ROLE {CONSOLE}")
    document = enable("app.users")
    assert [each["table"] for each in document["tables"]] == ["app.users", "app.addresses"]
    assert any("app.tickets refers to app.users" in each for each in document["cautions"])
    code, told = refusal("softdelete_disable", "app.users")
    assert code == 3
    assert f"Only the owner of app.users ({OWNER}) may take it away: GRANT {OWNER}" in told


def test_row_security_is_hidden_from_whom_it_binds_and_says_whom_it_does_not(
    execute: Execute, managed: None
) -> None:
    execute("RESET ROLE")
    plan = command("softdelete_enable", "app.users", "--row-security", "--dry-run")["plan"]
    # The console's own role is named by nobody; here a superuser asks, whom nothing binds.
    assert plan["tables"][0]["hidden_from"] == [APPLICATION, CONSOLE]
    told = " ".join(plan["cautions"])
    assert f"Sessions that connect as the owner of the tables ({OWNER}) or as a superuser" in told
    named = command("softdelete_enable", "app.users", "--hide-from", APPLICATION, "--dry-run")[
        "plan"
    ]
    assert named["tables"][0]["hidden_from"] == [APPLICATION]
    owner = command("softdelete_enable", "app.users", "--hide-from", OWNER, "--dry-run")["plan"]
    assert any(f"{OWNER} owns app.users: policies do not bind it" in c for c in owner["cautions"])
    _, unknown = refusal("softdelete_enable", "app.users", "--hide-from", "nobody_such")
    assert "There is no role nobody_such to hide deleted rows from." in unknown
    execute(f"REVOKE ALL ON app.users FROM {APPLICATION}, {CONSOLE}")
    bare = command("softdelete_enable", "app.users", "--row-security", "--dry-run")["plan"]
    assert any("the policies will bind nobody" in each for each in bare["cautions"])
    execute(f"GRANT {OWNER} TO {CONSOLE}")
    execute(f"GRANT ALL ON app.users TO {CONSOLE}, {APPLICATION}")
    execute(f"SET ROLE {CONSOLE}")
    asked = command("softdelete_enable", "app.users", "--row-security", "--dry-run")["plan"]
    assert asked["tables"][0]["hidden_from"] == [APPLICATION]


def test_foreign_tables_and_row_security_that_hides_rows_are_refused(
    execute: Execute, managed: None
) -> None:
    execute("RESET ROLE")
    execute("CREATE FOREIGN DATA WRAPPER soft_fdw")
    try:
        execute("CREATE SERVER soft_server FOREIGN DATA WRAPPER soft_fdw")
        execute("CREATE FOREIGN TABLE app.far (id int) SERVER soft_server")
        execute("CREATE TABLE app.parts (id int) PARTITION BY RANGE (id)")
        execute("CREATE FOREIGN TABLE app.part PARTITION OF app.parts DEFAULT SERVER soft_server")
        assert "app.far is a foreign table" in refusal("softdelete_enable", "app.far")[1]
        told = refusal("softdelete_enable", "app.parts")[1]
        assert "app.parts has a partition that is a foreign table" in told
    finally:
        execute("DROP FOREIGN DATA WRAPPER soft_fdw CASCADE")
    execute("ALTER TABLE app.addresses ENABLE ROW LEVEL SECURITY")
    execute(f"SET ROLE {CONSOLE}")
    told = refusal("softdelete_enable", "app.users")[1]
    assert "Row-level security hides rows of app.addresses from the console" in told
    told = refusal("softdelete_enable", "app.orders", "--row-security")[1]
    assert "Only the owner of app.orders may change it" in told


def test_with_policies_and_captured_deletes_the_schema_is_again_what_it_was(
    execute: Execute, managed: None
) -> None:
    """Row-level security is on again where it was, with the policies that there were."""
    execute("RESET ROLE")
    execute("ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY")
    execute(f"CREATE POLICY own ON app.orders TO {APPLICATION} USING (user_id < 3)")
    before = catalogue_state(execute)
    arguments = ("--along", "app.orders", "--capture-deletes", "--row-security")
    enable("app.users", *arguments, "--hide-from", APPLICATION)
    assert command("softdelete_enable", "app.users")["steps"] == 0
    made = catalogue_state(execute)
    execute(f"SET ROLE {APPLICATION}")
    execute("DELETE FROM app.lines WHERE order_id = 3")
    assert execute("SELECT count(*) FROM app.lines WHERE order_id = 3") == [(0,)]
    execute("RESET ROLE")
    [(deletion,)] = execute("SELECT DISTINCT deletion_id FROM app.lines WHERE order_id = 3")
    command("record_restore", str(deletion))
    enable("app.users", "--no-capture-deletes", "--no-row-security")
    assert catalogue_state(execute)["policies"] == before["policies"]
    enable("app.users", *arguments, "--hide-from", APPLICATION)
    assert catalogue_state(execute) == made
    command("softdelete_disable", "app.users")
    assert catalogue_state(execute) == before
