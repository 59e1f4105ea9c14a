"""What a purge wrote before it deleted: one archive a run, one part a batch."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from operations.models import Run
from retention.models.policy import RetentionPolicy


class Archive(models.Model):
    """The rows of one table that one purge removed, as compressed CSV parts with a manifest.

    A part exists for the database exactly when the rows in it are gone from their table: its row
    here was committed together with their deletion.
    """

    class State(models.TextChoices):
        OPEN = "open", "Being written"
        COMPLETE = "complete", "Complete"
        DESTROYED = "destroyed", "Destroyed"

    name = models.CharField(max_length=160, unique=True)
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="archives")
    root = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="dependents",
        help_text="The archive of the rows that these went along with; empty for the policy's own.",
    )
    policy = models.ForeignKey(RetentionPolicy, on_delete=models.PROTECT, related_name="archives")
    policy_version = models.PositiveIntegerField()
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    folder = models.CharField(max_length=200, help_text="In the storage.")
    layout = models.JSONField(
        help_text="How to read the parts: columns and types, key, session settings, format."
    )
    rows = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0, help_text="As stored, compressed.")
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    redactions = models.JSONField(
        default=list,
        blank=True,
        help_text="Runs that wrote parts anew without values that were redacted from the history.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    completed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    recipients = models.JSONField(
        default=list,
        blank=True,
        help_text="Public age keys that can read it; empty: not encrypted.",
    )
    locked_until = models.DateTimeField(
        null=True, blank=True, help_text="Until then the storage itself refuses to delete it."
    )
    destroyed_at = models.DateTimeField(null=True, blank=True)
    destroyed_by = models.ForeignKey(
        Run,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="destroyed_archives",
        help_text="The run that destroyed it, and has the certificate.",
    )

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "schema_name", "table_name"], name="archive_once_a_table"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["state", "expires_at"], name="archive_expiry")]
        permissions: ClassVar = [
            ("search_archive", "Can read the rows of archives"),
            ("restore_archive", "Can put rows of archives back"),
            ("keep_archive", "Can lengthen the term of archives"),
        ]

    def __str__(self) -> str:
        return self.name


class ArchivePart(models.Model):
    """One file: the rows that one batch removed."""

    archive = models.ForeignKey(Archive, on_delete=models.PROTECT, related_name="parts")
    number = models.PositiveIntegerField()
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(
        max_length=63, help_text="Where the rows were: the leaf of a partitioned table."
    )
    file = models.CharField(max_length=300, help_text="In the storage.")
    rows = models.BigIntegerField()
    bytes = models.BigIntegerField(help_text="As stored, compressed.")
    plain_bytes = models.BigIntegerField(help_text="Before compression.")
    sha256 = models.CharField(max_length=64, help_text="Of the file as stored.")
    window = models.JSONField(help_text="The slice of the table that the batch walked.")
    committed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["archive", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["archive", "number"], name="archive_part_number"),
            models.UniqueConstraint(fields=["file"], name="archive_part_file"),
        ]

    def __str__(self) -> str:
        return f"{self.archive.name} part {self.number}"
