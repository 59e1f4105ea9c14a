"""manage.py archive_expire [ARCHIVE ...]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from operations.runs.present import run_json, run_line
from operations.runs.states import RunState
from retention.models import Archive
from retention.presenting import archive_json, bytes_text
from retention.selectors.archives import archive_get
from retention.services.archive_expire_start import (
    Due,
    ExpiryAnswer,
    archive_expire,
    expiry_due,
    expiry_named,
    expiry_rehearse,
)

_NONE = "No archive is past its term."


class Command(CustodyCommand):
    help = (
        "Destroys archives whose term is over, with all their files, and certifies it. Without "
        "names, all of them. What a hold covers, or the storage has locked, is kept and named. "
        "Nothing is destroyed before its term."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("archives", nargs="*", metavar="ARCHIVE")
        parser.add_argument(
            "--wait", action="store_true", help="wait for another person's approval"
        )

    def work(self, **options: Any) -> Result:
        names = options["archives"]
        named = {archive.pk: archive for archive in map(archive_get, names)}
        found = expiry_named(list(named.values())) if names else expiry_due()
        if options["dry_run"]:
            return _rehearsed(found)
        actor = self.actor(options)
        with self.run_progress(options, "archive_expire") as bar:
            answers = [
                archive_expire(
                    due=due,
                    requester=actor,
                    reason=options["reason"],
                    wait=options["wait"],
                    on_progress=bar,
                )
                for due in found
            ]
        return _result(answers)


def _rehearsed(found: list[Due]) -> Result:
    kept = [each for due in found for each in due.kept]
    looked = [each for due in found for each in expiry_rehearse(due=due)]
    going = [archive for archive, why in looked if not why]
    kept += [(archive, why) for archive, why in looked if why]
    document = {
        "dry_run": True,
        "archives": [archive_json(archive) for archive in going],
        "kept": _kept_json(kept),
    }
    rows = [
        [archive.name, f"{archive.rows:,}", bytes_text(archive.bytes), _until(archive)]
        for archive in going
    ]
    headers = ("would be destroyed", "rows", "size", "term was over")
    text: list[Any] = [text_table(*headers, rows=rows, right=frozenset({1, 2}))] if rows else []
    text += _kept_text(kept)
    return Result(document, [*(text or [_NONE]), "Nothing was changed."])


def _result(answers: list[ExpiryAnswer]) -> Result:
    runs = [answer.run for answer in answers if answer.run is not None]
    kept = [each for answer in answers for each in answer.due.kept]
    late = [each for run in runs for each in run.result.get("kept", ())]
    refused = [
        {"policy": answer.due.policy.name, "why": answer.refusal}
        for answer in answers
        if answer.refusal
    ]
    document: dict[str, Any] = {
        "runs": [run_json(run) for run in runs],
        "kept": [*_kept_json(kept), *late],
        "refused": refused,
    }
    if len(runs) == 1:
        document["run"] = document["runs"][0]
    text: list[Any] = []
    for run in runs:
        line = run_line(run)
        if run.result.get("certificate"):
            line += f"; certificate {run.result['certificate']}"
        text += [line, *[f"  {name} is destroyed." for name in run.result.get("archives", ())]]
    text += [f"  {each['archive']} {each['why']}" for each in late] + _kept_text(kept)
    text += [f"{each['policy']}: {each['why']}" for each in refused]
    text = text or [_NONE]
    if any(run.current in (RunState.FAILED, RunState.CANCELLED) for run in runs):
        return Result(document, text, 1, "A run failed: see above, and manage.py run_show RUN.")
    if refused:
        names = ", ".join(each["policy"] for each in refused)
        return Result(document, text, 3, f"Refused: {names}.")
    return Result(document, text)


def _kept_json(kept: list[tuple[Archive, str]]) -> list[dict[str, str]]:
    return [{"archive": archive.name, "why": why} for archive, why in kept]


def _kept_text(kept: list[tuple[Archive, str]]) -> list[str]:
    return [f"  {archive.name} {why}" for archive, why in kept]


def _until(archive: Archive) -> str:
    return f"{archive.expires_at:%Y-%m-%d}"
