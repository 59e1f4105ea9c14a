"""manage.py archive_restore ARCHIVE"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from operations.models import Run
from operations.runs.present import run_json, run_line
from operations.runs.states import RunState
from retention.models import Archive
from retention.presenting import archive_json
from retention.restore_options import add_restore_options, restore_choice
from retention.selectors.archives import archive_get
from retention.selectors.restore_choice import RestoreChoice
from retention.selectors.restore_target import target_name
from retention.services.archive_restore import restored_so_far
from retention.services.restore_rehearse import restore_rehearse
from retention.services.restore_start import archive_restore

_SHOWN = 20


class Command(CustodyCommand):
    help = (
        "Puts the rows of an archive, or some of them, back where they are missing; or into a "
        "table of their own in another schema. A row that something stands in the way of is "
        "reported; nothing is overwritten. A restore that was killed goes on where it was."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("archive", metavar="ARCHIVE", help="its name, or how that begins")
        add_restore_options(parser)

    def work(self, **options: Any) -> Result:
        archive = archive_get(options["archive"])
        choice = restore_choice(archive, options)
        if options["dry_run"]:
            return self._rehearse(archive, choice, options)
        actor = self.actor(options)
        with self.run_progress(options, "archive_restore") as bar:
            run = archive_restore(
                archive=archive,
                choice=choice,
                requester=actor,
                reason=options["reason"],
                on_progress=bar,
            )
        return _result(run, archive, choice)

    def _rehearse(self, archive: Archive, choice: RestoreChoice, options: dict[str, Any]) -> Result:
        with self.run_progress(options, "archive_restore") as bar:

            def on_rows(done: int, total: int) -> None:
                bar.amount(archive.name, done, total)

            found = restore_rehearse(archive=archive, choice=choice, on_rows=on_rows)
        said = (
            f"{found['restorable']:,} rows would be restored, {found['already_there']:,} are there "
            f"already, {found['conflict_count']:,} have something in their way. Checks, triggers "
            "and missing partitions show only when the rows go in."
        )
        text = [said, *_conflicts(found), "Nothing was changed."]
        document = {"archive": archive_json(archive), "dry_run": True, **found}
        return _with_conflicts(document, text, found)


def _result(run: Run, archive: Archive, choice: RestoreChoice) -> Result:
    found = restored_so_far(run)
    document: dict[str, Any] = {"run": run_json(run), "archive": archive_json(archive), **found}
    said = (
        f"{found['restored']:,} rows restored, {found['already_there']:,} were there already, "
        f"{found['conflict_count']:,} have something in their way."
    )
    text: list[Any] = [run_line(run), said]
    if found["changed_by_trigger"]:
        text.append(
            f"Triggers of the table changed {found['changed_by_trigger']:,} of the restored rows."
        )
    text += _conflicts(found)
    if choice.into_schema:
        table = target_name(archive, choice)
        text.append(f"They are in {table}, which no policy governs: drop it when it has served.")
    elif found["restored"] and archive.policy.enabled and not archive.policy.keeps_for_ever:
        document["warning"] = (
            f"These rows are past the term of policy {archive.policy.name} "
            f"({archive.policy.term}): the next purge takes them again unless the term is changed."
        )
        text.append(document["warning"])
    if run.current is not RunState.SUCCEEDED:
        said = f"Run {run.pk} is {run.current.label.lower()}. {run.error}".strip()
        return Result(document, text, 1, said)
    return _with_conflicts(document, text, found)


def _conflicts(found: dict[str, Any]) -> list[Any]:
    if not found["conflicts"]:
        return []
    rows = [
        [
            each.get("archive", ""),
            each["key"] or "",
            f"{each['part']}",
            f"{each['line']:,}",
            each["why"],
        ]
        for each in found["conflicts"][:_SHOWN]
    ]
    text: list[Any] = [text_table("", "row", "part", "line", "what is in its way", rows=rows)]
    more = found["conflict_count"] - len(rows)
    return [*text, f"... and {more:,} more."] if more else text


def _with_conflicts(document: dict[str, Any], text: list[Any], found: dict[str, Any]) -> Result:
    if not found["conflict_count"]:
        return Result(document, text)
    said = f"{found['conflict_count']:,} rows of the archive are not live again: see above."
    return Result(document, text, 3, said)
