"""Whether tables with soft delete are as they should be."""

from __future__ import annotations

from config.doctor.database import Server
from config.doctor.finding import Finding, fine, note
from retention.selectors.softdelete_standing import standings
from retention.services.softdelete_events import softdelete_events_stand

_NAME = "soft delete"


def check_softdelete(_server: Server) -> list[Finding]:
    found = standings()
    troubled = [
        Finding(_NAME, False, problem, "manage.py softdelete_enable TABLE --dry-run tells more")
        for standing in found
        for problem in standing.problems
    ]
    if troubled:
        return troubled
    if not found:
        return note(_NAME, "No table has it yet", "manage.py softdelete_enable TABLE --dry-run")
    if not softdelete_events_stand(using="default"):
        return note(
            _NAME,
            f"All is there of {len(found)} tables, and no event trigger lets their views follow "
            "migrations",
            "manage.py softdelete_enable TABLE as a superuser, or docs/soft-delete-sql.md",
        )
    return fine(_NAME, f"The views, guards and indexes of all {len(found)} tables are there")
