from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from rich.console import RenderableType

from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError
from operations.models import Certificate
from operations.selectors.certificates import (
    CertificateCheck,
    NoSuchCertificate,
    certificate_check,
    certificate_get,
    certificate_list,
    certificate_strays,
)
from operations.storage import storage


class Command(CustodyCommand):
    help = (
        "Verifies certificates: by number (the row, its signed file and its PDF), or a file that "
        "somebody brings. Without any: all, and the files in the storage that no row knows."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="*", metavar="NUMBER|FILE")

    def work(self, **options: Any) -> Result:
        names: list[str] = options["source"]
        checks = [(name, _check(name)) for name in names] if names else _check_all()
        strays = [] if names else certificate_strays()
        text: list[RenderableType] = []
        for name, check in checks:
            if check.valid:
                of = "" if name == check.number else f" ({check.number})"
                text.append(f"{name}{of}: valid, signed by key {check.key_id}")
            else:
                text += [f"{name}: {problem}" for problem in check.problems]
        text += [
            f"{storage().location(path)}: the database knows no such certificate. Its row was "
            "deleted, or the database was restored from an older backup. Keep the file."
            for path in strays
        ]
        invalid = sum(not check.valid for _, check in checks)
        if not text:
            text.append("There are no certificates.")
        problems = []
        if invalid:
            problems.append(f"{invalid} of {len(checks)} certificates not valid")
        if strays:
            problems.append(f"{len(strays)} files without a certificate")
        return Result(
            {
                "certificates": [_document(name, check) for name, check in checks],
                "unknown_files": strays,
            },
            text,
            exit_code=1 if problems else 0,
            problem=f"{'; '.join(problems)}." if problems else "",
        )


def _check(name: str) -> CertificateCheck:
    source: Certificate | Path = Path(name)
    try:
        # A number, unless it is a file's name: those have a dot or a slash in them.
        if not any(mark in name for mark in "./\\"):
            source = certificate_get(name)
    except NoSuchCertificate:
        if not Path(name).exists():
            raise
    try:
        return certificate_check(source)
    except OSError as error:
        raise UsageError(f"Cannot read {name}: {error.strerror}.") from error


def _check_all() -> list[tuple[str, CertificateCheck]]:
    rows: list[Certificate] = list(certificate_list().order_by("id"))
    return [(row.number, certificate_check(row)) for row in rows]


def _document(name: str, check: CertificateCheck) -> dict[str, Any]:
    return {
        "source": name,
        "number": check.number,
        "key_id": check.key_id,
        "valid": check.valid,
        "problems": list(check.problems),
    }
