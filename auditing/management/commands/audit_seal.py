"""manage.py audit_seal: seal now what beat would seal within half a minute."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.services.anchors import rewind_accept
from auditing.services.audit_seal import audit_seal
from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError


class Command(CustodyCommand):
    help = (
        "Seals everything that has committed: hashes, chains, signs and anchors it, as beat does "
        "every half minute. Exit code 3 when the database stands behind its last anchor."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--accept-rewind",
            action="store_true",
            help="the database was restored on purpose: say so in the anchors, with --reason",
        )

    def work(self, **options: Any) -> Result:
        if options["dry_run"]:
            raise UsageError("There is nothing to show first: audit_verify tells what is sealed.")
        text: list[Any] = []
        document: dict[str, Any] = {}
        if options["accept_rewind"]:
            if not options["reason"]:
                raise UsageError("Say why the database was put back: --reason TEXT.")
            anchor = rewind_accept(actor=self.actor(options), reason=options["reason"])
            document["rewound_to"] = anchor.number if anchor else None
            text.append(
                f"The log goes on from block {anchor.number}."
                if anchor
                else "The database stands where it was anchored: nothing had to be accepted."
            )
        sealed = audit_seal()
        document["sealed"] = {
            "blocks": sealed.blocks,
            "leaves": sealed.leaves,
            "last_block": sealed.last,
        }
        text.append(
            f"{sealed.leaves:,} rows were sealed in {sealed.blocks:,} "
            f"block{'' if sealed.blocks == 1 else 's'}; "
            f"the last is {sealed.last:,}."
            if sealed.blocks
            else f"Everything was sealed already; the last block is {sealed.last:,}."
        )
        return Result(document, text)
