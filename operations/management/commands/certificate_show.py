from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from rich.console import RenderableType

from operations.certificate_commands import full, lines
from operations.commands import CustodyCommand, Result
from operations.exceptions import CustodyError, Refused, UsageError
from operations.models import Certificate
from operations.selectors.certificates import certificate_check, certificate_get
from operations.storage import storage


class Command(CustodyCommand):
    help = "Shows a certificate and whether it is what was signed."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="such as C-2026-000123")
        parser.add_argument("--pdf", type=Path, metavar="FILE", help="write the PDF there as well")

    def work(self, **options: Any) -> Result:
        certificate = certificate_get(options["number"])
        check = certificate_check(certificate)
        if options["pdf"] is not None:
            _copy_pdf(certificate, options["pdf"])
        text: list[RenderableType] = [*lines(certificate, check)]
        if options["pdf"] is not None:
            text.append(f"The PDF was written to {options['pdf']}.")
        document: dict[str, Any] = {"certificate": full(certificate, check)}
        if options["pdf"] is not None:
            document["certificate"]["written_pdf"] = str(options["pdf"])
        return Result(
            document,
            text,
            exit_code=0 if check.valid else 1,
            problem="" if check.valid else f"{certificate.number} is not valid.",
        )


def _copy_pdf(certificate: Certificate, target: Path) -> None:
    with storage().open(certificate.pdf_path) as file:
        content = file.read()
    try:
        # Never over a file that is there: it may be another certificate's.
        with target.open("xb") as copy:
            copy.write(content)
            copy.flush()
            os.fsync(copy.fileno())
    except FileExistsError as error:
        raise Refused(f"{target} is there already: name another file.") from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UsageError(f"Cannot write {target}: {error.strerror}.") from error
    except OSError as error:
        raise CustodyError(f"Cannot write {target}: {error.strerror}.") from error
