"""How long the rows of a table are kept, and what becomes of them then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from operations.catalogue.types import TableName


def term_words(hours: int | None) -> str:
    """A term in words: `90 days`, `36 hours`, `for ever`."""
    if hours is None:
        return "for ever"
    days, rest = divmod(hours, 24)
    amount, unit = (hours, "hour") if rest else (days, "day")
    return f"{amount:,} {unit}{'' if amount == 1 else 's'}"


class RetentionPolicy(models.Model):
    """The terms in force: a change that would destroy more waits, as a run, for its approval.

    Rows of one table whose age column lies before the cutoff have reached the end of their term.

    A row is destroyed only when its age is known and expired and the keep condition is FALSE for
    it: where either is NULL, the row is kept.
    """

    name = models.CharField(max_length=130, unique=True)
    database = models.CharField(max_length=60, default="default")
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    age_column = models.CharField(
        max_length=63, blank=True, help_text="Empty only when rows are kept for ever."
    )
    keep_hours = models.BigIntegerField(
        null=True, blank=True, help_text="Hours a row is kept; empty keeps for ever."
    )
    keep_condition = models.JSONField(
        null=True, blank=True, help_text="Rows for which this holds, or is NULL, are kept."
    )
    archive_first = models.BooleanField(default=False)
    archive_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Days an archive is kept; empty keeps it for ever."
    )
    soft_delete = models.BooleanField(default=False)
    dependents = models.JSONField(
        default=list,
        blank=True,
        help_text="Tables, as [schema, name], whose rows go along with the row they refer to.",
    )
    owner = models.CharField(
        max_length=200, blank=True, help_text="Who answers for it: a person or an office."
    )
    legal_basis = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1, help_text="Rises with every change.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords(history_change_reason_field=models.TextField(null=True))

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name = "retention policy"
        verbose_name_plural = "retention policies"
        permissions: ClassVar = [("propose_retentionpolicy", "Can propose terms of policies")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(keep_hours__isnull=True) | Q(keep_hours__gte=0),
                name="policy_keep_hours_positive",
            ),
            models.CheckConstraint(
                condition=Q(keep_hours__isnull=True) | ~Q(age_column=""),
                name="policy_age_column_given",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def table(self) -> TableName:
        return TableName(self.schema_name, self.table_name)

    @property
    def keeps_for_ever(self) -> bool:
        return self.keep_hours is None

    @property
    def destroys(self) -> bool:
        """Rows reach an end by it: that of their term, or of their grace in the bin."""
        return self.keep_hours is not None or self.soft_delete

    @property
    def term(self) -> str:
        """In words: `90 days`, `36 hours`, `for ever`."""
        return term_words(self.keep_hours)

    def cutoff(self, now: datetime) -> datetime | None:
        """Rows older than this moment are due; None when rows are kept for ever.

        A history goes by whole months: of UTC, as its partitions are.
        """
        if self.keep_hours is None:
            return None
        cutoff = now - timedelta(hours=self.keep_hours)
        if self.schema_name == "history":
            return cutoff.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return cutoff
