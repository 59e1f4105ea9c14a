"""All checks, each of them whatever the others find."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

from django.conf import settings

from config.doctor import (
    archive_keys,
    database,
    files,
    grants,
    own_audit,
    processes,
    seals,
    softdelete,
)
from config.doctor.database import Server
from config.doctor.finding import Check, Finding, note, wrong
from config.doctor.secrets import scrubbed
from config.env import BASE_DIR, PRODUCTION

ServerCheck = Callable[[Server], list[Finding]]

_HERE: tuple[tuple[str, Check], ...] = (
    ("broker", processes.check_broker),
    ("var", files.check_var),
    ("storage", files.check_storage),
    ("object lock", files.check_lock),
    ("anchors", files.check_anchors),
    ("key files", files.check_key_files),
    ("archive keys", archive_keys.check_archive_keys),
)
_SERVER: tuple[tuple[str, ServerCheck], ...] = (
    ("durability", database.check_safety),
    ("clocks", database.check_clock),
    ("monitoring", database.check_monitor),
    ("migrations", database.check_migrations),
)
_TABLES: tuple[tuple[str, ServerCheck], ...] = (
    ("policies", grants.check_policies),
    ("grants", grants.check_grants),
    ("row security", grants.check_row_security),
    ("audit", grants.check_audit),
    ("own audit", own_audit.check_own_tables),
    ("seals", seals.check_seals),
    ("soft delete", softdelete.check_softdelete),
    ("signing key", files.check_signing_key),
    ("worker", processes.check_processes),
    ("queues", processes.check_queues),
    ("schedule", processes.check_jobs),
    ("runs", processes.check_runs),
)
"""These read the console's tables."""


@dataclass(frozen=True)
class Examination:
    document: dict[str, Any]
    findings: list[Finding]

    @property
    def wrong(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.ok is False]


def examine() -> Examination:
    """Looks at everything. Starts the embedded PostgreSQL, changes nothing."""
    server = database.server_ask()
    findings = database.check_reachable(server)
    findings += _all(_SERVER, server, "" if server.usable else "the database cannot be used")
    unable = "the console's tables are missing or old" if _unmigrated(findings) else ""
    findings += _all(_TABLES, server, unable if server.usable else "the database cannot be used")
    for name, check in _HERE:
        findings += _one(name, check)
    findings = [
        replace(each, detail=scrubbed(each.detail), remedy=scrubbed(each.remedy))
        for each in findings
    ]
    document = {
        "database": server.to_json(),
        "broker": processes.broker_used(),
        "folders": {
            "var": str(settings.CUSTODY_VAR),
            "storage": str(settings.CUSTODY_STORAGE),
            "keys": str(settings.CUSTODY_KEYS),
        },
        "time_zone": settings.TIME_ZONE,
        "production": PRODUCTION,
        "versions": _versions(),
        "checks": [finding.to_json() for finding in findings],
        "ok": all(finding.ok is not False for finding in findings),
    }
    return Examination(document, findings)


def _all(checks: tuple[tuple[str, ServerCheck], ...], server: Server, unable: str) -> list[Finding]:
    found = []
    for name, check in checks:
        if unable:
            found += note(name, f"Not looked at: {unable}")
        else:
            found += _one(name, partial(check, server))
    return found


def _unmigrated(findings: list[Finding]) -> bool:
    return any(each.name == "migrations" and each.ok is False for each in findings)


def _one(name: str, check: Check) -> list[Finding]:
    try:
        return check()
    except Exception as error:
        what = f"It could not be checked: {type(error).__name__}: {error}"
        return wrong(name, what, "Mend that, then run manage.py doctor again.")


def _versions() -> dict[str, str]:
    project = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]
    packages = ("django", "celery", "psycopg", "django-unfold", "gunicorn")
    return {
        "custody": project["version"],
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }
