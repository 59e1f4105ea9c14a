"""What the console's role may do with the tables that policies name."""

from __future__ import annotations

from auditing.selectors.tracked import standings
from config.doctor.database import Server
from config.doctor.finding import Finding, fine, note
from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.identifiers import quoted
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Table
from operations.selectors.grants import grants_missing
from retention.models import RetentionPolicy


def check_grants(server: Server) -> list[Finding]:
    tables = list(_tables().values())
    if not tables:
        return note("grants", "No policy names a table yet")
    missing = grants_missing(tables)
    if not missing:
        return fine("grants", f"The role may work on all {len(tables)} governed tables")
    role = server.facts["role"]
    return [
        Finding(
            "grants",
            False,
            f"{role} may not {_lacking(each.schema_usage, each.privileges)} {each.table}",
            f"{each.statement(role)} Or run what manage.py roles_sql prints.",
        )
        for each in missing
    ]


def check_row_security(server: Server) -> list[Finding]:
    hidden = [table.name for table in _tables().values() if table.row_security]
    if not hidden:
        return fine("row security", "It hides no row of a governed table from the console")
    return [
        Finding(
            "row security",
            False,
            f"It hides rows of {name} from {server.facts['role']}: a purge is refused",
            f"ALTER ROLE {quoted(server.facts['role'])} BYPASSRLS; or exempt it in their policies.",
        )
        for name in hidden
    ]


def check_policies(_: Server) -> list[Finding]:
    known = _tables()
    policies = RetentionPolicy.objects.all()
    lost = [policy for policy in policies if policy.pk not in known]
    if lost:
        return [
            Finding(
                "policies",
                False,
                f"Policy {policy.name} names the table {policy.table}, which is not there",
                "Import the policy again with the table's new name, or disable it.",
            )
            for policy in lost
        ]
    if not known:
        return note("policies", "There is none yet", "manage.py policy_import FILE")
    return fine("policies", f"The tables of all {len(known)} policies are there")


def check_audit(_: Server) -> list[Finding]:
    found = standings()
    troubled = [standing for standing in found if standing.problems]
    if troubled:
        return [
            Finding("audit", False, f"{standing.tracked}: {problem}", "manage.py audit_status")
            for standing in troubled
            for problem in standing.problems
        ]
    if not found:
        return note("audit", "No table is audited yet", "manage.py audit_track TABLE")
    return fine("audit", f"All {len(found)} audited tables are captured as they should be")


def _tables() -> dict[int, Table]:
    """By the policy's number; a table that is gone is left out."""
    found = {}
    for policy in RetentionPolicy.objects.all():
        try:
            found[policy.pk] = read_table(policy.table, using=policy.database)
        except NoSuchTable:
            continue
    return found


def _lacking(schema_usage: bool, privileges: tuple[str, ...]) -> str:
    parts = ["enter the schema of"] if schema_usage else []
    if privileges:
        parts.append(f"{', '.join(privileges)} on")
    return " nor ".join(parts)
