"""One table for every long job: what it is to do, how far it is, who asked, how it ended."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from operations.runs.states import RunState


class Run(models.Model):
    """A long job that can be killed at any instant and started again.

    Its state moves only along `operations.runs.states.TRANSITIONS`. A worker owns it through a
    lease: `fence` rises with each owner, and every batch checks it under this row's lock.
    """

    kind = models.CharField(max_length=60)
    subject = models.CharField(
        max_length=200, help_text="What it works on, for people: the policy's name, the table."
    )
    exclusive_key = models.CharField(
        max_length=270, blank=True, help_text="Only one open run has it; empty for shared kinds."
    )
    state = models.CharField(
        max_length=20, choices=[(s.value, s.label) for s in RunState], default=RunState.DRAFT
    )
    database = models.CharField(max_length=60, default="default")
    parameters = models.JSONField(default=dict)
    plan = models.JSONField(default=dict)
    plan_hash = models.CharField(max_length=64, blank=True)
    cursor = models.JSONField(default=dict, help_text="Moved in the transaction of the work.")
    unit = models.CharField(max_length=30, default="rows")
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)

    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="requested_runs"
    )
    reason = models.TextField(blank=True)
    approval_reason = models.TextField(
        blank=True, help_text="Why this run waits for another person; empty when it need not."
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="decided_runs",
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(
        max_length=10, blank=True, choices=[("approved", "Approved"), ("refused", "Refused")]
    )
    decision_reason = models.TextField(blank=True)
    stop_with = models.CharField(
        max_length=10,
        blank=True,
        choices=[("pause", "Pause"), ("cancel", "Cancel")],
        help_text="What the next step does while the run is pausing.",
    )

    fence = models.BigIntegerField(default=0, help_text="Rises with every new owner.")
    worker = models.CharField(max_length=200, blank=True)
    backend_pid = models.IntegerField(null=True, blank=True)
    backend_start = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    dispatched_at = models.DateTimeField(null=True, blank=True)
    losses = models.PositiveIntegerField(
        default=0, help_text="Owners that were lost since the last step that was committed."
    )

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    active_seconds = models.FloatField(
        default=0, help_text="Time in steps, pauses left out: what the rate is made from."
    )

    class Meta:
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [
            ("control_run", "Can pause, resume and cancel runs"),
            ("approve_run", "Can approve and refuse runs that others asked for"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "lease_until"], name="run_state_lease"),
            models.Index(fields=["kind", "subject", "-id"], name="run_kind_subject"),
            models.Index(fields=["-finished_at"], name="run_finished"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["exclusive_key"],
                condition=~Q(exclusive_key="") & ~Q(state__in=["succeeded", "cancelled"]),
                name="run_exclusive",
            )
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}: {self.kind} {self.subject}"

    @property
    def current(self) -> RunState:
        return RunState(self.state)

    @property
    def fraction(self) -> float | None:
        """Done over total, 0 to 1; None when the total is not known."""
        if self.total is None:
            return None
        if self.total == 0 or self.current is RunState.SUCCEEDED:
            return 1.0
        return min(self.done / self.total, 1.0)

    @property
    def rate(self) -> float | None:
        """Units a second while it worked."""
        return self.done / self.active_seconds if self.active_seconds > 0 and self.done else None

    @property
    def eta(self) -> timedelta | None:
        """Time left at the rate so far; None when nothing can be said."""
        if self.total is None or not self.rate or self.current is not RunState.RUNNING:
            return None
        return timedelta(seconds=round(max(self.total - self.done, 0) / self.rate))


class RunEvent(models.Model):
    """A line of a run's log: a transition, a retry, a slowing down. Only ever added."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    level = models.CharField(
        max_length=10, choices=[("info", "Info"), ("warning", "Warning"), ("error", "Error")]
    )
    message = models.TextField()

    class Meta:
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return self.message
