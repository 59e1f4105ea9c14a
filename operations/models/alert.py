"""What somebody must look at, and the signs of life it is judged by."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from operations.models.run import Run


class Alert(models.Model):
    """Shown on the dashboard until resolved, mailed once. One open alert a `key`."""

    key = models.CharField(max_length=200, help_text="What it is about: `run-failed:12`.")
    severity = models.CharField(
        max_length=10, choices=[("warning", "Warning"), ("error", "Error")], default="error"
    )
    summary = models.CharField(max_length=300)
    remedy = models.TextField(blank=True)
    run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.CASCADE)
    raised_at = models.DateTimeField(default=timezone.now)
    mailed_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-raised_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(resolved_at__isnull=True), name="alert_open_key"
            )
        ]

    def __str__(self) -> str:
        return self.summary


class Heartbeat(models.Model):
    """The last sign of life of a process that must always be there: the worker, the beat."""

    name = models.CharField(max_length=60, primary_key=True)
    at = models.DateTimeField()
    stopped = models.BooleanField(default=False, help_text="It said goodbye, so it is not dead.")
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class ScheduledJob(models.Model):
    """When a job of the night last began, so that one that never began is noticed."""

    name = models.CharField(max_length=100, primary_key=True)
    last_started_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class JobRequest(models.Model):
    """Somebody asked for a job by SQL (`custody.job_request`); the sweeper starts it."""

    job = models.CharField(max_length=200, help_text="The task: `retention.purge_nightly`.")
    requested_at = models.DateTimeField()
    requested_by = models.CharField(max_length=63, help_text="The database role, or console:NAME.")
    started_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(
                fields=["id"], condition=Q(started_at__isnull=True), name="job_request_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"{self.job} for {self.requested_by}"
