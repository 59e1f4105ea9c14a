"""What was measured each night, so that growth can be shown and no page has to count."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from retention.models.policy import RetentionPolicy


class TableMeasure(models.Model):
    """The size of a governed table on one day, by PostgreSQL's statistics."""

    database = models.CharField(max_length=60, default="default")
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    on = models.DateField()
    rows = models.BigIntegerField(help_text="Estimated; -1 when never analysed.")
    bytes = models.BigIntegerField(help_text="Heap, TOAST and indexes.")

    class Meta:
        ordering: ClassVar = ["-on"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["database", "schema_name", "table_name", "on"], name="table_measure_daily"
            )
        ]

    def __str__(self) -> str:
        return f"{self.schema_name}.{self.table_name} on {self.on}"


class PolicyMeasure(models.Model):
    """What one policy had due on one day."""

    policy = models.ForeignKey(RetentionPolicy, on_delete=models.CASCADE, related_name="measures")
    on = models.DateField()
    at = models.DateTimeField()
    due_rows = models.BigIntegerField(null=True)
    due_bytes = models.BigIntegerField(null=True)
    held_rows = models.BigIntegerField(null=True)
    estimated = models.BooleanField(default=False)
    problem = models.TextField(blank=True, help_text="Why it could not be measured.")

    class Meta:
        ordering: ClassVar = ["-on"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["policy", "on"], name="policy_measure_daily")
        ]

    def __str__(self) -> str:
        return f"{self.policy} on {self.on}"
