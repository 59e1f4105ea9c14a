from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.certificate_commands import summary
from operations.commands import CustodyCommand, Result, text_table
from operations.selectors.certificates import certificate_list


class Command(CustodyCommand):
    help = "Lists certificates, the newest first."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", help="only this kind, such as disposition")
        parser.add_argument("--run", type=int, metavar="RUN", help="only those of this run")

    def work(self, **options: Any) -> Result:
        found = list(certificate_list(kind=options["kind"], run=options["run"]))
        rows = [
            [
                certificate.number,
                certificate.kind,
                certificate.subject,
                "" if certificate.run_id is None else str(certificate.run_id),
                f"{certificate.issued_at:%Y-%m-%d %H:%M:%S} UTC",
            ]
            for certificate in found
        ]
        table = text_table("Number", "Kind", "Subject", "Run", "Issued", rows=rows)
        return Result(
            {"certificates": [summary(certificate) for certificate in found]},
            [table] if rows else ["There are no certificates."],
        )
