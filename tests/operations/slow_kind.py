"""A kind of run that takes its time: each step notes its number in `app.counted`."""

from __future__ import annotations

import time
from typing import Any

from django.db import connections

from operations.models import Run
from operations.runs.kinds import Plan, RunKind, Step, register


@register
class Slow(RunKind):
    name = "slow"
    title = "Slow counting"
    unit = "steps"

    @classmethod
    def plan(cls, *, parameters: dict[str, Any], using: str) -> Plan:  # noqa: ARG003
        return Plan(
            subject=parameters.get("subject", "counting"),
            facts={"steps": parameters["steps"]},
            total=parameters["steps"],
            parameters=parameters,
            approval_reason=parameters.get("approval", ""),
        )

    def step(self, run: Run) -> Step:
        number = run.cursor.get("number", 0) + 1
        if number > self.parameters["steps"]:
            return Step({"number": number}, 0, finished=True)
        time.sleep(self.parameters["seconds"])
        with connections[self.using].cursor() as cursor:
            cursor.execute("INSERT INTO app.counted VALUES (%s)", [number])
        return Step({"number": number}, 1, finished=False)
