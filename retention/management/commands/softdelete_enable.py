"""manage.py softdelete_enable TABLE [--capture-deletes] [--row-security] [--along TABLE ...] ..."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from retention.selectors.softdelete_plan import EnableAsked, softdelete_plan
from retention.selectors.softdelete_steps import Step
from retention.services.softdelete_enable import Enabled, softdelete_enable
from retention.services.softdelete_steps_do import untold
from retention.softdelete_presenting import UNFOLLOWED, plan_json, plan_text, softdelete_json


class Command(CustodyCommand):
    help = (
        "Gives a table, and all whose rows go along with its rows, a bin: deleted records stay "
        "until their grace is over, and come back whole. --dry-run shows every step with its SQL. "
        "Run again it mends what is missing and changes the terms to what is asked."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", help="NAME or SCHEMA.NAME")
        parser.add_argument(
            "--capture-deletes",
            action=argparse.BooleanOptionalAction,
            help="the application's own DELETE becomes a soft one",
        )
        parser.add_argument(
            "--row-security",
            action=argparse.BooleanOptionalAction,
            help="policies hide deleted rows from the application's roles",
        )
        parser.add_argument(
            "--hide-from",
            metavar="ROLE",
            nargs="+",
            action="extend",
            help="those roles; without it all that have privileges and that policies bind",
        )
        parser.add_argument(
            "--grace", type=_days, metavar="DAYS", help="days in the bin (30 for a new table)"
        )
        parser.add_argument(
            "--along",
            metavar="TABLE",
            nargs="+",
            action="extend",
            default=[],
            help="tables whose rows go along although their foreign keys do not cascade",
        )
        parser.add_argument(
            "--unique-active",
            metavar="CONSTRAINT",
            nargs="+",
            action="extend",
            default=[],
            help="unique constraints that look at active rows only from then on",
        )

    def work(self, **options: Any) -> Result:
        hide_from = options["hide_from"]
        asked = EnableAsked(
            capture_deletes=options["capture_deletes"],
            row_security=True
            if hide_from and options["row_security"] is None
            else options["row_security"],
            grace_days=options["grace"],
            along=tuple(options["along"]),
            unique_active=tuple(options["unique_active"]),
            hide_from=tuple(hide_from) if hide_from else None,
        )
        if options["dry_run"]:
            plan = softdelete_plan(options["table"], asked=asked)
            refused = 3 if plan.obstacles else 0
            return Result(
                {"dry_run": True, "plan": plan_json(plan)},
                [*plan_text(plan), "", "Nothing was changed."],
                refused,
                "Something is in the way: nothing can be enabled so." if refused else "",
            )
        done = softdelete_enable(
            options["table"],
            asked=asked,
            actor=self.actor(options),
            reason=options["reason"],
            tell=self._tell_step if self.shows_progress(options) else untold,
        )
        return _told(done)

    def _tell_step(self, step: Step) -> None:
        self.stderr.write(f"{step.table}: {step.what} ...")


def _days(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 36_500):
        raise argparse.ArgumentTypeError("a whole number of days, from 1 to 36500")
    return int(text)


def _told(done: Enabled) -> Result:
    first, *others = done.tables
    steps = f"{len(done.steps)} steps" if len(done.steps) != 1 else "1 step"
    lines = [f"{first} has soft delete ({steps}). Its active rows are in {first.view}."]
    if others:
        lines.append(f"With it: {', '.join(f'{row} ({row.view_name})' for row in others)}.")
    lines += [f"{each}" for each in done.plan.stays]
    cautions = list(done.plan.cautions)
    if not done.follows:
        cautions.append(UNFOLLOWED)
    lines += [f"Note: {each}" for each in cautions]
    return Result(
        {
            "softdelete": softdelete_json(first),
            "tables": [softdelete_json(row) for row in done.tables],
            "steps": len(done.steps),
            "unique": list(done.plan.stays),
            "cautions": cautions,
        },
        [*lines],
    )
