"""The base of every command: one result, told to a person or as one JSON document.

Exit codes: 0 done, 1 failed or something found wrong, 2 wrong usage, 3 refused (hold, approval,
conflict, unsafe).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, TextIO, cast

import psycopg
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError, ProgrammingError
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table as RichTable
from rich.text import Text

from operations.acting import acting, acting_say, console_actor, person_fields
from operations.exceptions import CustodyError
from operations.models import Run
from operations.services.actors import actor_get, login_name

_OLD = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)


@dataclass(frozen=True)
class Result:
    """What a command found or did."""

    document: dict[str, Any]
    """For `--json`: each thing under its noun."""
    text: list[RenderableType] = field(default_factory=list)
    """For a person: lines and tables."""
    exit_code: int = 0
    problem: str = ""
    """With an exit code other than 0: the line for standard error."""
    told: bool = False
    """The command has written it all itself, piece by piece: it was too much to hold."""


class CustodyCommand(BaseCommand):
    """Subclasses write `arguments` and `work`; a CustodyError ends with its own exit code."""

    changes: ClassVar[bool] = False
    """It changes something: it knows who acts, why, and `--dry-run`."""
    requires_system_checks = ()

    def arguments(self, parser: CommandParser) -> None:
        """The command's own arguments."""

    def work(self, **options: Any) -> Result:
        raise NotImplementedError(type(self).__name__)

    def add_arguments(self, parser: CommandParser) -> None:
        self.arguments(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument("--no-input", action="store_true", help="ask no questions")
        if self.changes:
            parser.add_argument("--user", metavar="NAME", help="the console user who acts")
            parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the log")
            parser.add_argument("--dry-run", action="store_true", help="show, change nothing")

    def handle(self, **options: Any) -> None:
        try:
            with acting(
                actor=console_actor(options.get("user") or login_name()),
                reason=options.get("reason") or "",
                extra={"command": self._name()},
            ):
                result = self.work(**options)
        except CustodyError as error:
            self._fail(str(error), error.exit_code, options, type(error).__name__)
        except ProgrammingError as error:
            if isinstance(error.__cause__, _OLD):
                self._fail(
                    "The console's tables are missing or old: run manage.py migrate first.",
                    1,
                    options,
                    "NotMigrated",
                )
            if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
                self._fail(
                    f"The console's role may not do this: {_one_line(error)}. "
                    "`manage.py roles_sql` prints the grants.",
                    1,
                    options,
                    "InsufficientPrivilege",
                )
            raise
        except OperationalError as error:
            if _answered(error):
                self._fail(
                    f"The database did not let it through: {_one_line(error)}. "
                    "Somebody else was at the same rows or tables for too long: try again.",
                    1,
                    options,
                    "DatabaseBusy",
                )
            self._fail(
                f"The database cannot be reached: {_one_line(error)}. "
                "`manage.py doctor` tells more.",
                1,
                options,
                "DatabaseUnreachable",
            )
        except BrokenPipeError:
            # Whoever read the output has seen enough: `... | head`. What is still buffered goes
            # nowhere, or Python would complain of it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except KeyboardInterrupt:
            self._fail(
                "Interrupted. Run it again: it goes on from what was done.",
                1,
                options,
                "Interrupted",
            )
        else:
            self._tell(result, options)

    def _tell(self, result: Result, options: dict[str, Any]) -> None:
        if result.told:
            pass
        elif options["json"]:
            self.stdout.write(json.dumps(result.document, cls=DjangoJSONEncoder, indent=2))
        else:
            console = Console(
                file=cast("TextIO", self.stdout._out),
                width=None if self.stdout.isatty() else 160,
                highlight=False,
                # `:key:` in somebody's names is no emoji.
                emoji=False,
                soft_wrap=True,
            )
            for part in result.text:
                if isinstance(part, str):
                    console.print(part, markup=False)
                else:
                    console.print(part)
        if result.exit_code:
            raise CommandError(result.problem or "Failed.", returncode=result.exit_code)

    def _fail(self, message: str, code: int, options: dict[str, Any], kind: str) -> None:
        if options["json"]:
            document = {"error": {"message": message, "kind": kind, "exit_code": code}}
            self.stdout.write(json.dumps(document, indent=2))
        raise CommandError(message, returncode=code)

    def actor(self, options: dict[str, Any]) -> User:
        """The console user who acts: `--user`, else a system user named after the login."""
        user = actor_get(name=options.get("user"))
        acting_say(**person_fields(user))
        return user

    def _name(self) -> str:
        """Of the command, as it is called."""
        return type(self).__module__.rpartition(".")[2]

    def shows_progress(self, options: dict[str, Any]) -> bool:
        return sys.stderr.isatty() and not options["json"]

    @contextmanager
    def run_progress(self, options: dict[str, Any], title: str) -> Iterator[RunBar]:
        """A bar on standard error that follows a run; silent when that is no terminal."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns,
            console=Console(stderr=True),
            disable=not self.shows_progress(options),
            transient=True,
        ) as progress:
            yield RunBar(progress, progress.add_task(title, total=None, rate=""))


class RunBar:
    """Follows one run at a time."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def __call__(self, run: Run) -> None:
        rate = f"{run.rate:,.0f} {run.unit}/s" if run.rate else ""
        self._progress.update(
            self._task,
            description=f"{run.kind} {run.subject}",
            completed=run.done,
            total=run.total,
            rate=rate,
        )

    def amount(self, what: str, done: int, total: int) -> None:
        """Work that is not a run."""
        self._progress.update(self._task, description=what, completed=done, total=total)


def text_table(*headers: str, rows: list[list[str]], right: frozenset[int] = frozenset()) -> Any:
    """A table for people; `right` are the numbers of the columns that hold figures."""
    table = RichTable(box=None, header_style="bold", pad_edge=False)
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number in right else "left", no_wrap=False)
    for row in rows:
        table.add_row(*[_plain(cell) for cell in row])
    return table


def _plain(cell: str) -> Text:
    return Text(cell)


def seconds_text(duration: timedelta | None) -> str:
    return "" if duration is None else str(timedelta(seconds=round(duration.total_seconds())))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _answered(error: OperationalError) -> bool:
    """It came from a server that was there: a lock, a limit of time, a deadlock.

    Source: PostgreSQL's manual, appendix A; 08 and 57P are sessions that were lost or refused.
    """
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return bool(state) and not state.startswith(("08", "57P", "53"))
