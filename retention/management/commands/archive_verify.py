"""manage.py archive_verify [ARCHIVE ...]"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from retention.models import Archive
from retention.presenting import archive_json
from retention.selectors.archives import archive_get, archive_list
from retention.services.archive_verify import Problem, Verified, archive_verify, strangers


class Command(CustodyCommand):
    help = (
        "Reads archives back and compares files, database, manifest and certificate. Without "
        "names, all archives, and whatever else lies among their files. Changes nothing."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("archives", nargs="*", metavar="ARCHIVE")

    def work(self, **options: Any) -> Result:
        names = options["archives"]
        wanted = [archive_get(name) for name in names] if names else list(archive_list())
        found = []
        with self.run_progress(options, "archive_verify") as bar:
            for archive in {each.pk: each for each in wanted}.values():

                def on_part(done: int, total: int, name: str = archive.name) -> None:
                    bar.amount(name, done, total)

                found.append(archive_verify(archive=archive, on_part=on_part))
        return _result(found, [] if names else strangers())


def _result(found: list[Verified], others: list[Problem]) -> Result:
    bad = [each for each in found if not each.ok]
    document: dict[str, Any] = {
        "archives": [
            {
                **archive_json(each.archive),
                "ok": each.ok,
                "problems": [_problem(problem) for problem in each.problems],
                "notes": list(each.notes),
            }
            for each in found
        ],
        "strangers": [_problem(problem) for problem in others],
        "ok": not bad and not others,
    }
    if len(found) == 1:
        document["archive"] = document["archives"][0]
    text: list[Any] = []
    for each in found:
        text.append(f"{each.archive.name}: {_said(each)}")
        text += [f"  {problem}" for problem in each.problems]
        text += [f"  {note}" for note in each.notes]
    text += [str(problem) for problem in others]
    if document["ok"]:
        return Result(document, text or ["There are no archives yet."])
    said = f"{len(bad):,} of {len(found):,} archives are damaged" if bad else "Unknown files"
    names = ", ".join(each.archive.name for each in bad)
    said = f"{said}: {names}" if names else f"{said} lie among the archives"
    return Result(document, text, 1, f"{said}. See above for each file.")


def _problem(problem: Problem) -> dict[str, str]:
    return {"file": problem.file, "what": problem.what}


def _said(each: Verified) -> str:
    if each.ok and each.archive.state == Archive.State.DESTROYED:
        return "destroyed, nothing of it is left"
    if each.ok:
        return f"sound, {each.parts:,} parts, {each.rows:,} rows"
    return f"{len(each.problems):,} problems"
