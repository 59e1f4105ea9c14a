"""What purges came to, as the result of a command."""

from __future__ import annotations

from typing import Any

from operations.commands import Result
from operations.exceptions import Refused
from operations.models import Run
from operations.runs.present import run_json, run_line
from operations.runs.states import RunState
from retention.presenting import bytes_text
from retention.services.purge_start import PurgeAnswer


def answers_result(answers: list[PurgeAnswer]) -> Result:
    """A run for each policy, and the refusals."""
    runs = [answer.run for answer in answers if answer.run is not None]
    document: dict[str, Any] = {"runs": [run_json(run) for run in runs]}
    if len(runs) == 1:
        document["run"] = document["runs"][0]
    return answers_problem(document, [run_told(run) for run in runs], answers)


def answers_problem(
    document: dict[str, Any], text: list[Any], answers: list[PurgeAnswer]
) -> Result:
    """The document and text with what was refused, and the exit code that follows."""
    refused = [
        {"policy": answer.policy.name, "why": answer.refusal}
        for answer in answers
        if answer.refusal
    ]
    runs = [answer.run for answer in answers if answer.run is not None]
    # With an error: a hold, or what changed since it was planned, ended it. Nothing failed.
    ended = [run for run in runs if run.current is RunState.CANCELLED and run.error]
    failed = any(
        run.current in (RunState.FAILED, RunState.CANCELLED) for run in runs if run not in ended
    )
    result = with_refusals(document, text, refused, failed=failed)
    if not ended or result.exit_code:
        return result
    numbers = ", ".join(str(run.pk) for run in ended)
    said = f"Ended before its end: run {numbers}. See above, and manage.py run_show RUN."
    return Result(result.document, result.text, Refused.exit_code, said)


def with_refusals(
    document: dict[str, Any], text: list[Any], refused: list[dict[str, str]], *, failed: bool
) -> Result:
    """Exit code 1 when a run failed, else 3 when a policy was refused, else 0."""
    document = {**document, "refused": refused}
    text = [*text, *[f"{each['policy']}: {each['why']}" for each in refused]]
    if failed:
        return Result(document, text, 1, "A run failed: see above, and manage.py run_show RUN.")
    if refused:
        names = ", ".join(each["policy"] for each in refused)
        return Result(document, text, 3, f"Refused: {names}.")
    return Result(document, text)


def run_told(run: Run) -> str:
    """A purge in a line or two."""
    line = run_line(run)
    if run.result.get("archive"):
        line += f"; archive {run.result['archive']}"
    if run.result.get("certificate"):
        line += f"; certificate {run.result['certificate']}"
    space = run.result.get("space") or {}
    if dropped := run.result.get("partitions_dropped"):
        plural = "" if len(dropped) == 1 else "s"
        line += f"; {len(dropped):,} partition{plural} dropped, "
        line += f"{bytes_text(space['returned_bytes'])} returned to the system"
    if space.get("reusable_bytes"):
        line += f"; about {bytes_text(space['reusable_bytes'])} reusable in the table"
    return f"{line}\n  {space['hint']}" if space.get("hint") else line
