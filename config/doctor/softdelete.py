"""Whether tables with soft delete are as they should be."""

from __future__ import annotations

from config.doctor.database import Server
from config.doctor.finding import Finding, fine, note
from retention.selectors.softdelete_standing import standings

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
    return fine(_NAME, f"The views, guards and indexes of all {len(found)} tables are there")
