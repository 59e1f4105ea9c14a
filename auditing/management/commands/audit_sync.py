"""manage.py audit_sync [TABLE]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from auditing.baseline_commands import baseline_taken, baseline_told
from auditing.presenting import standing_json, standing_line, tracked_json
from auditing.selectors.tracked import standings, tracked_get, tracked_tables
from auditing.services.cluster_adopt import Adopted, cluster_adopt
from auditing.services.sync import Synced, table_sync
from operations.commands import CustodyCommand, Result
from operations.exceptions import CustodyError


class Command(CustodyCommand):
    help = (
        "Adjusts the audit to tables whose columns, partitions or names changed: new columns get "
        "their place in the history, new partitions their triggers. Nothing captured is changed. "
        "After a restore from a dump it finds the tables again, and lets the log count on."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "table", metavar="TABLE", nargs="?", help="NAME or SCHEMA.NAME; without it every one"
        )

    def work(self, **options: Any) -> Result:
        named = tracked_get(options["table"]) if options["table"] else None
        if options["dry_run"]:
            found = standings(only=named)
            return Result(
                {"dry_run": True, "tables": [standing_json(each) for each in found]},
                [*[standing_line(each) for each in found], "Nothing was changed."],
            )
        adopted = cluster_adopt()
        actor = self.actor(options)
        documents: list[Any] = []
        lines: list[str] = []
        failures: list[str] = []
        lines += _restored_lines(adopted)
        failures += adopted.failures
        if named:
            named.refresh_from_db()
        for tracked in [named] if named else tracked_tables():
            try:
                synced = table_sync(tracked, actor=actor, reason=options["reason"])
                run = baseline_taken(self, synced.tracked, options, actor=actor)
            except CustodyError as error:
                if named:
                    raise
                failures.append(f"{tracked}: {error}")
                continue
            document, said = baseline_told(run)
            documents.append({**tracked_json(synced.tracked), "run": document})
            lines += [_line(synced), *said]
        return Result(
            {
                "tables": documents,
                "failures": failures,
                "restored": list(adopted.tables),
                "not_restored": list(adopted.gone),
                "begun_anew": list(adopted.begun_anew),
            },
            [*lines, *failures],
            1 if failures else 0,
            f"{len(failures)} could not be adjusted." if failures else "",
        )


def _restored_lines(adopted: Adopted) -> list[str]:
    lines = []
    if adopted.tables or adopted.gone or adopted.begun_anew:
        found = ", ".join(adopted.tables) or "none"
        lines.append(f"The database was restored. Found again: {found}.")
    lines += [f"{name} was not restored: audit_untrack ends its audit." for name in adopted.gone]
    lines += [
        f"{name}: its columns have other numbers than when values were kept aside. Its history "
        "ended, another one began with a baseline."
        for name in adopted.begun_anew
    ]
    return lines


def _line(synced: Synced) -> str:
    if not synced.anything:
        return f"{synced.tracked}: as it should be."
    done = []
    if synced.renamed_from:
        done.append(f"was {synced.renamed_from}")
    if synced.columns_added:
        done.append(f"{len(synced.columns_added)} new columns in the history")
    if synced.triggers_made:
        done.append(f"{synced.triggers_made} triggers mended")
    if synced.guarded_changed:
        done.append("looks for changed columns another way")
    return f"{synced.tracked}: {', '.join(done)}."
