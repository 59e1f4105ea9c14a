"""What the commands that decide about runs share."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management.base import OutputWrapper

from operations.commands import Result
from operations.exceptions import Refused, UsageError
from operations.models import Run
from operations.runs.kinds import RunKind, run_kind, run_kinds
from operations.runs.present import run_json, run_line
from operations.runs.states import RunState


def runs_result(runs: list[Run], *, dry_run: bool = False) -> Result:
    documents = [run_json(run) for run in runs]
    document: dict[str, Any] = {"runs": documents}
    if dry_run:
        document["dry_run"] = True
    if len(documents) == 1:
        document["run"] = documents[0]
    text: list[Any] = [run_line(run) for run in runs] or ["No run."]
    return Result(document, [*text, "Nothing was changed."] if dry_run else text)


def each_decided(runs: list[Run], decide: Callable[[Run], Run]) -> Result:
    """Decides about every run, also when one of them refuses; then that is said, with exit code 3.

    Raises:
        Refused: there was only one.
    """
    done, refused = [], []
    for run in runs:
        try:
            done.append(decide(run))
        except Refused as error:
            if len(runs) == 1:
                raise
            refused.append({"run": run.pk, "why": str(error)})
    result = runs_result(done)
    if not refused:
        return result
    document = {**result.document, "refused": refused}
    text: list[Any] = [*result.text, *[each["why"] for each in refused]]
    numbers = ", ".join(str(each["run"]) for each in refused)
    return Result(document, text, Refused.exit_code, f"Refused: {numbers}.")


def plan_lines(run: Run) -> list[str]:
    """What a person reads before they decide."""
    # A run of an earlier version may be of a kind that is not known any more.
    kind = run_kinds().get(run.kind, RunKind)
    return [run_line(run), *[f"  {line}" for line in kind.plan_lines(run.plan)]]


def confirmation_asked(run: Run) -> str:
    """What the person typed, where the kind wants more than a yes; empty where it does not."""
    wanted = run_kind(run.kind).confirm_text(run.plan)
    return line_asked(f"Run {run.pk} asks twice. Type {wanted} to approve it: ") if wanted else ""


def line_asked(question: str) -> str:
    """One line of standard input; empty at its end. The question goes to standard error."""
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        sys.stderr.write("\n")
    return line.strip()


def ended_badly(result: Result, runs: list[Run]) -> Result:
    """The result with exit code 1 or 3 when a run that was executed at once did not succeed."""
    failed = [run for run in runs if run.current is RunState.FAILED]
    undone = [run for run in runs if run.current is RunState.CANCELLED]
    if not failed and not undone:
        return result
    numbers = ", ".join(str(run.pk) for run in failed + undone)
    code = 1 if failed else Refused.exit_code
    return Result(result.document, result.text, code, f"Approved, and not carried out: {numbers}.")


def approver_asked(options: dict[str, Any], stderr: OutputWrapper, shown: list[str]) -> User:
    """The person at the keyboard, proved by their password.

    Raises:
        UsageError: no `--user`.
        Refused: `--no-input` (nobody is there to decide), a wrong password, no such person.
    """
    name = options.get("user")
    if not name:
        raise UsageError("Who decides? Say --user NAME, another console user than who asked.")
    if options["no_input"]:
        raise Refused("A person has to decide: --no-input never does.")
    for line in shown:
        stderr.write(line)
    person = authenticate(username=name, password=_password(name))
    if not isinstance(person, User):
        raise Refused(f"That is not the password of an active console user named {name}.")
    return person


def _password(name: str) -> str:
    try:
        if sys.stdin.isatty():
            return getpass.getpass(f"Password of {name}: ")
        return sys.stdin.readline().rstrip("\n")
    except (EOFError, KeyboardInterrupt):
        raise Refused("No password was given: nothing was decided.") from None
