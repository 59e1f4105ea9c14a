"""manage.py run_list"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result, text_table
from operations.runs.kinds import run_kinds
from operations.runs.present import run_json
from operations.runs.states import RunState
from operations.selectors.runs import run_list


class Command(CustodyCommand):
    help = "The runs, newest first: what each does, how far it is, how it ended."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--state", choices=[state.value for state in RunState])
        parser.add_argument("--kind", choices=sorted(run_kinds()))
        parser.add_argument("--open", action="store_true", help="only those that are not over")
        parser.add_argument("--limit", type=int, default=50, metavar="N")

    def work(self, **options: Any) -> Result:
        found = run_list(state=options["state"], kind=options["kind"], open_only=options["open"])
        runs = list(found[: max(options["limit"], 1)])
        rows = [
            [
                str(run.pk),
                run.kind,
                run.subject,
                run.current.label,
                f"{run.done:,}",
                "" if run.total is None else f"{run.total:,}",
                str(run.requester),
                f"{run.created_at:%Y-%m-%d %H:%M}",
            ]
            for run in runs
        ]
        text = text_table(
            "run",
            "kind",
            "subject",
            "state",
            "done",
            "total",
            "asked for by",
            "at",
            rows=rows,
            right=frozenset({0, 4, 5}),
        )
        return Result({"runs": [run_json(run) for run in runs]}, [text if runs else "No runs."])
