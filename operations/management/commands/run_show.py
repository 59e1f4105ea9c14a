"""manage.py run_show RUN"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, seconds_text, text_table
from operations.run_commands import plan_lines
from operations.runs.present import run_json
from operations.selectors.runs import run_get


class Command(CustodyCommand):
    help = "One run: its parameters, plan, progress, log and result."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN")

    def work(self, **options: Any) -> Result:
        run = run_get(options["run"])
        facts = [
            ["asked for by", f"{run.requester} at {run.created_at:%Y-%m-%d %H:%M:%S}"],
            ["reason", run.reason],
            ["decision", f"{run.decision} by {run.decided_by}" if run.decided_by else ""],
            ["worker", run.worker],
            ["rate", f"{run.rate:,.0f} {run.unit}/s" if run.rate else ""],
            ["time left", seconds_text(run.eta)],
            *[[name, _value(value)] for name, value in run.result.items()],
        ]
        events = [
            [f"{event.at:%H:%M:%S}", event.level, event.message] for event in run.events.all()
        ]
        return Result(
            {"run": run_json(run, events=True)},
            [
                *plan_lines(run),
                "",
                text_table("", "", rows=[fact for fact in facts if fact[1]]),
                "",
                text_table("at", "", "log", rows=events),
            ],
        )


def _value(value: Any) -> str:
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
