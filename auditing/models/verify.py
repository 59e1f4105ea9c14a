"""What a verification of the log found."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from auditing.models.tracked import TrackedTable


class VerifyFinding(models.Model):
    """One thing that is not as it was sealed, or is not in the log; kept with its run."""

    class Kind(models.TextChoices):
        ALTERED = "altered", "Altered"
        MISSING = "missing", "Missing"
        ADDED = "added", "Added"
        CHAIN = "chain", "Block or header"
        ANCHOR = "anchor", "Anchor"
        PROOF = "proof", "Removed or redacted without proof"
        LIVE = "live", "Changed past the audit"
        CAPTURE = "capture", "Capture switched off"

    run_id = models.BigIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    tracked = models.ForeignKey(
        TrackedTable, null=True, on_delete=models.PROTECT, related_name="findings"
    )
    source = models.CharField(max_length=130, blank=True, help_text="The table of the row.")
    record_id = models.TextField(blank=True)
    number = models.BigIntegerField(null=True, help_text="Of the version, or the row's key.")
    block = models.BigIntegerField(null=True)
    text = models.TextField(help_text="What is wrong, in a sentence.")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["id"]
        verbose_name = "finding"
        indexes: ClassVar = [models.Index(fields=["run_id", "id"], name="finding_run")]

    def __str__(self) -> str:
        return self.text
