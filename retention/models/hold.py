"""Legal holds: rows that nothing may destroy until somebody else says that they may."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from operations.catalogue.types import TableName


class LegalHold(models.Model):
    """A case and why its rows are kept. Placed by one person, released by another."""

    case_id = models.CharField(max_length=100, help_text="As the case is called: `2031-17`.")
    reason = models.TextField()
    placed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="placed_holds"
    )
    placed_at = models.DateTimeField(default=timezone.now)
    review_on = models.DateField(
        null=True, blank=True, help_text="When somebody has to look whether it is still needed."
    )
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="released_holds",
    )
    released_at = models.DateTimeField(null=True, blank=True)
    release_reason = models.TextField(blank=True)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [
            ("place_legalhold", "Can place legal holds"),
            ("release_legalhold", "Can release legal holds that others placed"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["case_id"], condition=Q(released_at__isnull=True), name="hold_active_case"
            )
        ]

    def __str__(self) -> str:
        return f"hold {self.case_id}"

    @property
    def active(self) -> bool:
        return self.released_at is None


class HoldScope(models.Model):
    """What a hold covers in one table: all of it, the rows of a condition, or named rows."""

    class Kind(models.TextChoices):
        TABLE = "table", "The whole table"
        CONDITION = "condition", "Rows that meet a condition"
        ROWS = "rows", "Named rows"

    hold = models.ForeignKey(LegalHold, on_delete=models.CASCADE, related_name="scopes")
    database = models.CharField(max_length=60, default="default")
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    condition = models.JSONField(
        null=True, blank=True, help_text="Rows for which this holds, or is NULL, are held."
    )
    table_oid = models.BigIntegerField(
        null=True, blank=True, help_text="Of the table, which may get another name."
    )
    shape = models.JSONField(
        default=dict,
        help_text="The key, and the types of the condition's columns, when it was placed.",
    )
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["database", "schema_name", "table_name"], name="hold_scope_table")
        ]

    def __str__(self) -> str:
        return f"{self.hold}: {self.table}"

    @property
    def table(self) -> TableName:
        return TableName(self.schema_name, self.table_name)


class HeldRow(models.Model):
    """One named row of a scope."""

    scope = models.ForeignKey(HoldScope, on_delete=models.CASCADE, related_name="rows")
    record_id = models.TextField(
        help_text="The key's value, or a JSON array for a key of several columns."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["scope", "record_id"], name="held_row_once")
        ]

    def __str__(self) -> str:
        return self.record_id
