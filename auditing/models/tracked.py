"""Which tables are audited, how each column is kept, and where in the history it stands."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from operations.catalogue.types import TableName


class TrackedTable(models.Model):
    """A table whose changes are kept in `history.<history_name>`.

    `custody.capture_make` reads these rows when it writes the capture function, also from the
    event trigger: the names of tables and columns here are part of the SQL in `auditing/sql`.
    """

    database = models.CharField(max_length=60, default="default")
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    table_oid = models.BigIntegerField(help_text="Of the table, which may get another name.")
    history_name = models.CharField(
        max_length=63, unique=True, help_text="Its table in the schema `history`."
    )
    row_level = models.BooleanField(
        default=False, help_text="Captured row by row: tables that inherit or are inherited from."
    )
    guarded = models.BooleanField(
        default=False,
        help_text="The capture function looks for changed columns itself: no event trigger may.",
    )
    reason_required = models.BooleanField(
        default=False, help_text="A change without a reason in its context is refused."
    )
    baseline_seq = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="While set, a row without a version since this number gets its old image first.",
    )
    baseline_at = models.DateTimeField(
        null=True, blank=True, help_text="When `baseline_seq` was taken: the time of its images."
    )
    baseline_since = models.BigIntegerField(
        null=True, blank=True, help_text="A row with a version since this number needs no image."
    )
    baseline_first_seq = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="`baseline_seq` of the first of the baselines that began before one was through.",
    )
    baseline_first_at = models.DateTimeField(
        null=True, blank=True, help_text="Its time: rows without any version were there since then."
    )
    audited_once = models.BooleanField(
        default=False, help_text="Its triggers stood before: one that is missing now left a gap."
    )
    fingerprint = models.CharField(
        max_length=32, blank=True, help_text="Of the columns that the capture was made for."
    )
    tracked_at = models.DateTimeField(default=timezone.now)
    synced_at = models.DateTimeField(default=timezone.now)
    untracked_at = models.DateTimeField(
        null=True, blank=True, help_text="Since then nothing is captured; the history stays."
    )

    class Meta:
        verbose_name = "audited table"
        ordering: ClassVar = ["schema_name", "table_name", "-id"]
        permissions: ClassVar = [
            ("track_table", "Can start, stop and adjust the audit of tables"),
            ("restore_version", "Can restore and revert audited rows"),
            ("annotate_version", "Can name and comment versions"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["database", "table_oid"],
                condition=Q(untracked_at__isnull=True),
                name="tracked_table_once",
            )
        ]

    def __str__(self) -> str:
        return str(self.table)

    @property
    def table(self) -> TableName:
        return TableName(self.schema_name, self.table_name)

    @property
    def history(self) -> TableName:
        return TableName("history", self.history_name)


class Handling(models.TextChoices):
    CAPTURED = "captured", "Kept"
    MASKED = "masked", "That it changed, not what"
    EXCLUDED = "excluded", "Not at all"


class TrackedColumn(models.Model):
    """One column of a tracked table, by attnum: it stays the same through renames."""

    tracked = models.ForeignKey(TrackedTable, on_delete=models.CASCADE, related_name="columns")
    attnum = models.SmallIntegerField()
    name = models.CharField(max_length=63, help_text="Its name when last looked at.")
    type = models.TextField(help_text="As format_type() prints it.")
    handling = models.CharField(max_length=10, choices=Handling.choices, default=Handling.CAPTURED)
    significant = models.BooleanField(
        default=True, help_text="A change of it makes a version; of the others alone it does not."
    )
    key_position = models.SmallIntegerField(
        null=True, blank=True, help_text="From 1, of a column of the key."
    )
    generated = models.CharField(
        max_length=10,
        blank=True,
        choices=[("stored", "Stored"), ("virtual", "Virtual")],
        help_text="A virtual column is not captured: it is computed again when read.",
    )
    dropped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["tracked", "attnum"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tracked", "attnum"], name="tracked_column_once")
        ]

    def __str__(self) -> str:
        return self.name


class HistoryColumn(models.Model):
    """A column of a history table: what of `attnum` it holds while it had `source_type`.

    A version's value is in at most one of an attnum's history columns, or, when there was none yet
    for its type, in the history's `rest` under the attnum.
    """

    tracked = models.ForeignKey(
        TrackedTable, on_delete=models.CASCADE, related_name="history_columns"
    )
    attnum = models.SmallIntegerField()
    source_type = models.TextField(help_text="The column's type without modifier, as regtype.")
    name = models.CharField(max_length=63)
    type = models.TextField(help_text="In the history: always one of pg_catalog's.")

    class Meta:
        ordering: ClassVar = ["tracked", "attnum", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tracked", "attnum", "source_type"], name="history_column_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Layout(models.Model):
    """Which column each bit of `changed` stands for, in the versions that name this layout."""

    tracked = models.ForeignKey(TrackedTable, on_delete=models.CASCADE, related_name="layouts")
    attnums = ArrayField(models.SmallIntegerField())
    names = ArrayField(models.TextField())
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return ", ".join(self.names)
