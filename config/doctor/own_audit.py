"""Whether the console's own tables are audited."""

from __future__ import annotations

from auditing.services.own_tables import own_tables_missing
from config.doctor.database import Server
from config.doctor.finding import Finding, fine, note


def check_own_tables(_server: Server) -> list[Finding]:
    missing = own_tables_missing()
    if not missing:
        return fine("own audit", "The console's own tables are audited")
    return note(
        "own audit",
        f"{len(missing)} of the console's own tables are not audited: "
        f"{', '.join(name.name for name in missing)}",
        "manage.py audit_console",
    )
