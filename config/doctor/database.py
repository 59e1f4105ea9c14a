"""The database: is it there, is it new enough, is it ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from psycopg.rows import dict_row

from config.doctor.finding import Finding, fine, note, wrong
from config.doctor.secrets import database_shown
from config.embedded import EmbeddedError
from config.start import hold_embedded
from operations.catalogue.identifiers import quoted
from operations.connections import OLDEST_SERVER

CLOCK_SECONDS = 5.0
_SETTINGS = (
    "max_connections",
    "shared_buffers",
    "wal_level",
    "archive_mode",
    "summarize_wal",
    "track_commit_timestamp",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
)

_FACTS = """
SELECT pg_catalog.current_setting('server_version') AS version,
       pg_catalog.current_setting('server_version_num')::int / 10000 AS major,
       pg_catalog.current_database() AS name,
       current_user AS role,
       r.rolsuper AS superuser,
       r.rolsuper OR r.rolbypassrls AS bypasses_row_security,
       pg_catalog.pg_has_role(current_user, 'pg_monitor', 'USAGE') AS monitor,
       pg_catalog.pg_is_in_recovery() AS standby,
       clock_timestamp() AS now
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""


@dataclass(frozen=True)
class Server:
    """What the server says of itself; `problem` when it says nothing."""

    facts: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    remedy: str = ""
    clock_offset: float = 0.0
    """Seconds that the database's clock is ahead of this machine's."""

    @property
    def usable(self) -> bool:
        return not self.problem and self.facts["major"] >= OLDEST_SERVER

    def to_json(self) -> dict[str, Any]:
        """The one place where the whole connection string is told."""
        told = {name: value for name, value in self.facts.items() if name != "now"}
        return {
            "url": settings.DATABASE_URL,
            "embedded": settings.EMBEDDED_POSTGRES is not None,
            "reachable": not self.problem,
            "version": None,
            **told,
            "settings": self.settings,
        }


def server_ask() -> Server:
    """Asks the server, starting the embedded one."""
    try:
        hold_embedded()
    except EmbeddedError as error:
        return Server(problem=str(error), remedy="See the server's log; mend what it says.")
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory", None)
    parameters.pop("context", None)
    try:
        with psycopg.connect(**parameters, autocommit=True, row_factory=dict_row) as session:
            before = datetime.now(UTC)
            facts = session.execute(_FACTS).fetchone() or {}
            between = before + (datetime.now(UTC) - before) / 2
            found = session.execute(
                "SELECT name, pg_catalog.current_setting(name) AS value"
                " FROM pg_catalog.pg_settings WHERE name = ANY(%s) ORDER BY name",
                [list(_SETTINGS)],
            ).fetchall()
    except psycopg.Error as error:
        return Server(
            problem=str(error),
            remedy="Start the server, or correct DATABASE_URL (host, port, name, user, password).",
        )
    return Server(
        facts=facts,
        settings={row["name"]: row["value"] for row in found},
        clock_offset=(facts["now"] - between).total_seconds(),
    )


def check_reachable(server: Server) -> list[Finding]:
    if server.problem:
        return wrong("database", f"{database_shown()}: {server.problem}", server.remedy)
    facts = server.facts
    power = "a superuser" if facts["superuser"] else "an ordinary role"
    detail = f"PostgreSQL {facts['version']}, database {facts['name']}, as {facts['role']}, {power}"
    if facts["major"] < OLDEST_SERVER:
        return wrong(
            "database",
            f"{detail}. Custody needs PostgreSQL {OLDEST_SERVER} or newer",
            "Point DATABASE_URL at a newer server.",
        )
    if facts["standby"]:
        return wrong(
            "database",
            f"{detail}. It is a standby: nothing can be written",
            "Point DATABASE_URL at the primary server.",
        )
    return fine("database", detail)


def check_safety(server: Server) -> list[Finding]:
    off = [name for name in ("fsync", "full_page_writes") if server.settings.get(name) == "off"]
    if not off:
        return fine("durability", "The server keeps what it committed through a power cut")
    return note(
        "durability",
        f"{' and '.join(off)} {'is' if len(off) == 1 else 'are'} off: a power cut can destroy "
        "the database",
        "Switch it on in postgresql.conf, except on a server for tests.",
    )


def check_clock(server: Server) -> list[Finding]:
    offset = server.clock_offset
    if abs(offset) <= CLOCK_SECONDS:
        return fine("clocks", "This machine and the database agree")
    direction = "ahead of" if offset > 0 else "behind"
    return wrong(
        "clocks",
        f"The database's clock is {abs(offset):.0f} s {direction} this machine's",
        "Let both machines keep time by NTP: cutoffs and leases depend on it.",
    )


def check_migrations(_: Server) -> list[Finding]:
    executor = MigrationExecutor(connection)
    pending = [
        migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())
    ]
    if not pending:
        return fine("migrations", "All are applied")
    names = ", ".join(f"{each.app_label}.{each.name}" for each in pending[:3])
    more = f" and {len(pending) - 3} more" if len(pending) > 3 else ""
    return wrong("migrations", f"Pending: {names}{more}", "manage.py migrate")


def check_monitor(server: Server) -> list[Finding]:
    if server.facts["monitor"]:
        return fine("monitoring", "Load, long transactions and replica lag can be seen")
    role = server.facts["role"]
    return note(
        "monitoring",
        "Other roles' transactions and replicas cannot be seen: runs do not slow down for them",
        f"GRANT pg_monitor TO {quoted(role)}; (manage.py roles_sql prints it).",
    )
