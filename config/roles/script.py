"""Composes the script. Every name is quoted; running it again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from operations.catalogue.read import OWN_SCHEMAS
from operations.selectors.schemas import Schema

OWN, HISTORY = OWN_SCHEMAS
KEPT_FROM_AUDITORS = {"django_session": (), "auth_user": ("password",)}
"""Tables of the console, with the columns that are kept back; none means all of them. With a
session's key or a password's hash an auditor could act as somebody else."""

READING = (
    "as_of",
    "audit_log_of",
    "audit_open_at",
    "audit_json",
    "audit_tracked_at",
    "audit_base_type",
)
"""Functions that read the history with the rights of whoever calls them."""


@dataclass(frozen=True)
class Names:
    """The roles."""

    console: str
    application: str | None
    auditor: str
    backup: str

    @property
    def all(self) -> list[str]:
        return [
            name for name in (self.console, self.application, self.auditor, self.backup) if name
        ]


def script(*, database: str, schemas: Sequence[Schema], names: Names) -> str:
    """A script for psql (or any client), to be run by a superuser of PostgreSQL 15 or newer.

    Args:
        schemas: the governed ones, with the roles that make tables in them.
    """
    return "\n".join(_lines(database, schemas, names)) + "\n"


def _lines(database: str, schemas: Sequence[Schema], names: Names) -> Iterator[str]:
    yield from _title(database, names)
    yield "BEGIN;"
    yield from _roles(database, names)
    yield from _own_schema(names)
    for schema in schemas:
        yield from _governed(schema, names)
    if not schemas:
        yield "\n-- There is no governed schema yet: run this again when there is one."
    yield from _auditor(names)
    yield from _auditor_history(names)
    yield from _backup(names)
    yield "\nCOMMIT;"


def _title(database: str, names: Names) -> Iterator[str]:
    yield f"-- Roles of Custody for the database {_comment(database)}."
    yield "-- Run it in that database, once before and once after manage.py migrate, and again when"
    yield "-- an application has a new schema. Running it again is safe. It takes a superuser; on a"
    yield "-- managed server the administrator, as a member of the roles that own the tables."
    yield "-- Nobody can sign in by it. Then let the console in:"
    yield f"--   ALTER ROLE {_comment(_name(names.console))} LOGIN;"
    yield f"--   \\password {_comment(_name(names.console))}"


def _roles(database: str, names: Names) -> Iterator[str]:
    yield "\n-- The roles, where they are missing."
    for name in names.all:
        yield _do(
            sql.SQL(
                "IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {text}) THEN\n"
                "    CREATE ROLE {name} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;\n"
                "  END IF;"
            ).format(text=sql.Literal(name), name=sql.Identifier(name))
        )
    for name in names.all:
        yield _say("GRANT CONNECT ON DATABASE {} TO {};", database, name)
    yield "-- CREATE: the console makes the schema history when tables are audited."
    yield _say("GRANT CREATE, TEMPORARY ON DATABASE {} TO {};", database, names.console)
    yield "-- To see load, long transactions and replica lag, and slow down for them."
    yield _say("GRANT pg_monitor TO {};", names.console)


def _own_schema(names: Names) -> Iterator[str]:
    yield "\n-- The console's own schema, with all that is in it."
    yield _do(
        sql.SQL(
            "IF NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r"
            " WHERE r.rolname = current_user) THEN\n"
            "    EXECUTE pg_catalog.format('GRANT %I TO %I', {role}, current_user);\n"
            "  END IF;"
        ).format(role=sql.Literal(names.console))
    )
    yield from _owned(OWN, names)
    yield "-- And the history of audited tables."
    yield from _owned(HISTORY, names)
    if names.application:
        yield "-- The application calls functions in the first, and reads no table of it."
        yield _say("GRANT USAGE ON SCHEMA {} TO {};", OWN, names.application)


def _owned(schema: str, names: Names) -> Iterator[str]:
    yield _say("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {};", schema, names.console)
    yield _say("ALTER SCHEMA {} OWNER TO {};", schema, names.console)
    yield _do(
        sql.SQL(
            "FOR statement IN\n"
            "    SELECT pg_catalog.format('ALTER TABLE %I.%I OWNER TO %I',\n"
            "                             {text}, c.relname, {role})\n"
            "    FROM pg_catalog.pg_class c\n"
            "    WHERE c.relnamespace = {text}::pg_catalog.regnamespace\n"
            "      AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')\n"
            "      AND pg_catalog.pg_get_userbyid(c.relowner) <> {role}\n"
            "      -- A column's sequence goes with its table.\n"
            "      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid\n"
            "                      AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))\n"
            "    UNION ALL\n"
            "    SELECT pg_catalog.format('ALTER ROUTINE %s OWNER TO %I',"
            " p.oid::pg_catalog.regprocedure, {role})\n"
            "    FROM pg_catalog.pg_proc p\n"
            "    WHERE p.pronamespace = {text}::pg_catalog.regnamespace\n"
            "      AND pg_catalog.pg_get_userbyid(p.proowner) <> {role}\n"
            "    UNION ALL\n"
            "    SELECT pg_catalog.format('ALTER TYPE %I.%I OWNER TO %I',\n"
            "                             {text}, c.relname, {role})\n"
            "    FROM pg_catalog.pg_class c\n"
            "    WHERE c.relnamespace = {text}::pg_catalog.regnamespace AND c.relkind = 'c'\n"
            "      AND pg_catalog.pg_get_userbyid(c.relowner) <> {role}\n"
            "  LOOP\n"
            "    EXECUTE statement;\n"
            "  END LOOP;"
        ).format(text=sql.Literal(schema), role=sql.Literal(names.console)),
        declare="statement text;",
    )


def _governed(schema: Schema, names: Names) -> Iterator[str]:
    yield f"\n-- Governed: the tables in {_comment(_name(schema.name))}, and those made later."
    yield _say("GRANT USAGE ON SCHEMA {} TO {};", schema.name, names.console)
    # TRIGGER: the console audits tables that it does not own.
    rights = "SELECT, INSERT, UPDATE, DELETE, TRIGGER"
    yield _say(f"GRANT {rights} ON ALL TABLES IN SCHEMA {{}} TO {{}};", schema.name, names.console)
    for owner in schema.owners:
        yield _say(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {}"
            f" GRANT {rights} ON TABLES TO {{}};",
            owner,
            schema.name,
            names.console,
        )


def _auditor(names: Names) -> Iterator[str]:
    yield "\n-- The auditor reads what the console keeps, without passwords and sessions."
    yield _say("GRANT USAGE ON SCHEMA {} TO {};", OWN, names.auditor)
    kept = [sql.Literal(table) for table in KEPT_FROM_AUDITORS]
    columns = [c for table in KEPT_FROM_AUDITORS.values() for c in table]
    yield _do(
        sql.SQL(
            "FOR statement IN\n"
            "    SELECT pg_catalog.format('GRANT SELECT ON %I.%I TO %I',\n"
            "                             {text}, c.relname, {role})\n"
            "    FROM pg_catalog.pg_class c\n"
            "    WHERE c.relnamespace = {text}::pg_catalog.regnamespace\n"
            "      AND c.relkind IN ('r', 'p', 'v', 'm')\n"
            "      AND c.relname NOT IN ({kept})\n"
            "    UNION ALL\n"
            "    SELECT pg_catalog.format('GRANT SELECT (%s) ON %I.%I TO %I',\n"
            "                             pg_catalog.string_agg(\n"
            "                               pg_catalog.quote_ident(a.attname), ', '),\n"
            "                             {text}, c.relname, {role})\n"
            "    FROM pg_catalog.pg_class c\n"
            "    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0\n"
            "     AND NOT a.attisdropped AND a.attname NOT IN ({columns})\n"
            "    WHERE c.relnamespace = {text}::pg_catalog.regnamespace\n"
            "      AND c.relname IN ({partly})\n"
            "    GROUP BY c.relname\n"
            "  LOOP\n"
            "    EXECUTE statement;\n"
            "  END LOOP;"
        ).format(
            text=sql.Literal(OWN),
            role=sql.Literal(names.auditor),
            kept=sql.SQL(", ").join(kept),
            columns=sql.SQL(", ").join(map(sql.Literal, columns)),
            partly=sql.SQL(", ").join(
                sql.Literal(table) for table, some in KEPT_FROM_AUDITORS.items() if some
            ),
        ),
        declare="statement text;",
    )


def _auditor_history(names: Names) -> Iterator[str]:
    """Also of tables that are audited later. Functions that write to the history stay closed."""
    yield "-- And the history: its tables and views, and the functions that read them."
    yield _say("GRANT USAGE ON SCHEMA {} TO {};", HISTORY, names.auditor)
    yield _say("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {};", HISTORY, names.auditor)
    yield _say(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT SELECT ON TABLES TO {};",
        names.console,
        HISTORY,
        names.auditor,
    )
    yield _do(
        sql.SQL(
            "FOR statement IN\n"
            "    SELECT pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I',\n"
            "                             p.oid::pg_catalog.regprocedure, {role})\n"
            "    FROM pg_catalog.pg_proc p\n"
            "    WHERE p.pronamespace = {text}::pg_catalog.regnamespace\n"
            "      AND p.proname IN ({reading})\n"
            "  LOOP\n"
            "    EXECUTE statement;\n"
            "  END LOOP;"
        ).format(
            text=sql.Literal(OWN),
            role=sql.Literal(names.auditor),
            reading=sql.SQL(", ").join(map(sql.Literal, READING)),
        ),
        declare="statement text;",
    )


def _backup(names: Names) -> Iterator[str]:
    yield "\n-- The backup role reads everything. For physical backups it also needs:"
    yield f"--   ALTER ROLE {_comment(_name(names.backup))} LOGIN REPLICATION;"
    yield _say("GRANT pg_read_all_data TO {};", names.backup)


def _say(template: str, *names: str) -> str:
    return sql.SQL(template).format(*map(sql.Identifier, names)).as_string(None)


def _do(body: sql.Composed, *, declare: str = "") -> str:
    text = body.as_string(None)
    tag = "$custody$"
    # A name may hold any text, the quote of the block too.
    while tag in text:
        tag = f"{tag[:-1]}_$"
    head = f"DECLARE\n  {declare}\n" if declare else ""
    return f"DO {tag}\n{head}BEGIN\n  {text}\nEND\n{tag};"


def _name(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _comment(text: str) -> str:
    """A comment ends with its line."""
    return " ".join(text.splitlines())
