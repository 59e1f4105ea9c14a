"""manage.py audit_track TABLE [--exclude COL] [--mask COL] [--significant COL,...]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.baseline_commands import baseline_taken, baseline_told
from auditing.presenting import tracked_json
from auditing.services.track import TrackTerms, table_track, table_trackable
from operations.commands import CustodyCommand, Result


class Command(CustodyCommand):
    help = (
        "Begins the audit of a table: from now on every change of it has a version that says who, "
        "what, when and why. Rows that are there already get a baseline, in small batches."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", help="NAME or SCHEMA.NAME")
        parser.add_argument(
            "--exclude",
            metavar="COL",
            action="append",
            default=[],
            help="not kept at all; several as a,b or repeated",
        )
        parser.add_argument(
            "--mask",
            metavar="COL",
            action="append",
            default=[],
            help="kept that it changed, not what; several as a,b or repeated",
        )
        parser.add_argument(
            "--significant",
            metavar="COL,...",
            action="append",
            default=[],
            help="only changes of these make a version",
        )
        parser.add_argument(
            "--require-reason",
            action="store_true",
            help="refuse changes whose transaction has not said why (custody.set_context)",
        )

    def work(self, **options: Any) -> Result:
        terms = TrackTerms(
            exclude=_columns(options["exclude"]),
            mask=_columns(options["mask"]),
            significant=_columns(options["significant"]),
            reason_required=options["require_reason"],
        )
        if options["dry_run"]:
            table = table_trackable(options["table"], terms)
            assert table.key is not None
            said = (
                f"Would audit {table.name} by its key ({', '.join(table.key.columns)}), "
                f"about {max(table.estimated_rows, 0):,} rows."
            )
            document = {"dry_run": True, "table": str(table.name), "key": list(table.key.columns)}
            return Result(document, [said, "Nothing was changed."])
        actor = self.actor(options)
        tracked = table_track(options["table"], actor=actor, reason=options["reason"], terms=terms)
        run = baseline_taken(self, tracked, options, actor=actor)
        tracked.refresh_from_db()
        taken, lines = baseline_told(run)
        text = f"{tracked} is audited. Its history is {tracked.history}."
        failed = run is not None and run.state != "succeeded"
        return Result(
            {"tracked": tracked_json(tracked), "run": taken},
            [text, *lines],
            1 if failed else 0,
            "The baseline is not finished." if failed else "",
        )


def _columns(given: list[str]) -> tuple[str, ...]:
    """Names as the catalogue has them: what stands in no quotes is compared as it is written."""
    return tuple(name.strip() for text in given for name in text.split(",") if name.strip())
