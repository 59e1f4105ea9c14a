"""manage.py doctor"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from config.doctor.examine import Examination, examine
from config.doctor.finding import Finding
from config.doctor.secrets import broker_shown, database_shown
from operations.commands import CustodyCommand, Result, text_table

_MARKS = {True: "ok", False: "WRONG", None: "note"}


class Command(CustodyCommand):
    help = (
        "What the console uses, what is wrong and how to mend it. Exit code 1 when something is "
        "wrong. With --json the connection string is told under database.url, password included."
    )

    def work(self, **options: Any) -> Result:
        examination = examine()
        bad = examination.wrong
        text = [_used(examination), "", _findings(examination.findings)]
        to_do = [each for each in examination.findings if each.remedy]
        if to_do:
            text += ["", "What to do:", *[f"  {each.name}: {each.remedy}" for each in to_do]]
        if not bad:
            return Result(examination.document, [*text, "", "Nothing is wrong."])
        names = ", ".join(dict.fromkeys(finding.name for finding in bad))
        return Result(examination.document, text, 1, f"Wrong: {names}.")


def _used(examination: Examination) -> Any:
    document = examination.document
    embedded = {True: " (embedded)", False: ""}
    rows = [
        ["database", database_shown() + embedded[document["database"]["embedded"]]],
        *[["", line] for line in _settings(document["database"]["settings"])],
        ["broker", broker_shown() + embedded[document["broker"]["embedded"]]],
        *[[name, folder] for name, folder in document["folders"].items()],
        ["time zone", document["time_zone"]],
        ["versions", ", ".join(f"{name} {v}" for name, v in document["versions"].items())],
    ]
    return text_table("used", "", rows=rows)


def _settings(settings: dict[str, str]) -> list[str]:
    if not settings:
        return []
    return [", ".join(f"{name} {value}" for name, value in settings.items())]


def _findings(findings: list[Finding]) -> Any:
    rows = []
    # What could not be looked at for one reason is one line.
    for (ok, detail), alike in groupby(findings, key=lambda each: (each.ok, each.detail)):
        rows.append([_MARKS[ok], ", ".join(each.name for each in alike), detail])
    return text_table("", "looked at", "found", rows=rows)
