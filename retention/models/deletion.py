"""Soft delete: the tables that have it, and each deletion with all that went along.

The functions of `retention/sql/` write these rows too, in the application's own sessions, so what
Python would default has a default in the database.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from operations.catalogue.types import TableName

GRACE_DAYS = 30
"""For which a record can be restored, unless a table has a term of its own."""


class SoftDeleteTable(models.Model):
    """A governed table whose rows are marked as deleted before they are destroyed.

    The row stands before the first change of the table and tells what was made of it, so that
    enabling can be killed and gone on with, and undone completely.
    """

    database = models.CharField(max_length=60, default="default")
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    table_oid = models.BigIntegerField(help_text="Of the table, which may get another name.")
    along = models.JSONField(
        default=list,
        help_text=(
            "Tables, as [schema, name], whose rows go along with a row they refer to although "
            "their foreign key does not cascade."
        ),
    )
    grace_days = models.PositiveIntegerField(
        default=GRACE_DAYS, help_text="Days a deleted record stays in the bin."
    )
    capture_deletes = models.BooleanField(
        default=False, help_text="The application's own DELETE becomes a soft one."
    )
    row_security = models.BooleanField(
        default=False, help_text="Policies hide deleted rows from the application's role."
    )
    hidden_from = ArrayField(
        models.CharField(max_length=63),
        default=list,
        help_text="The roles that these policies bind.",
    )
    view_name = models.CharField(max_length=63, help_text="Of the view of active rows beside it.")
    view_kept = models.JSONField(
        default=dict,
        db_default={},
        help_text="Who owns the view and may read it, kept while it is made again.",
    )
    active_unique = models.JSONField(
        default=list,
        help_text=(
            "Unique constraints that became unique over active rows only: name, definition, "
            "columns, and whether it was a constraint."
        ),
    )
    made = models.JSONField(
        default=dict, help_text="What was added to the table, and so goes when it is disabled."
    )
    ready_at = models.DateTimeField(
        null=True, blank=True, help_text="When all of it was there; records are deleted from then."
    )
    enabled_at = models.DateTimeField(default=timezone.now)
    enabled_by = models.CharField(max_length=300)
    reason = models.TextField(blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["schema_name", "table_name"]
        verbose_name = "table with soft delete"
        verbose_name_plural = "tables with soft delete"
        permissions: ClassVar = [("enable_softdelete", "Can enable and disable soft delete")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["database", "table_oid"],
                condition=Q(disabled_at__isnull=True),
                name="softdelete_table_once",
            )
        ]

    def __str__(self) -> str:
        return str(self.table)

    @property
    def table(self) -> TableName:
        return TableName(self.schema_name, self.table_name)

    @property
    def view(self) -> TableName:
        return TableName(self.schema_name, self.view_name)


class Deletion(models.Model):
    """Records that went into the bin together: one decision, one thing to restore or destroy.

    Its rows are those of governed tables that have its id in `deletion_id`.
    """

    class State(models.TextChoices):
        DELETED = "deleted", "In the bin"
        RESTORED = "restored", "Restored"
        PURGING = "purging", "Being destroyed"
        PURGED = "purged", "Destroyed"
        REFUSED = "refused", "Refused"

    class Source(models.TextChoices):
        CONSOLE = "console", "From the console"
        FUNCTION = "function", "By the application"
        CAPTURED = "captured", "A DELETE of the application"
        POLICY = "policy", "By a policy"
        SPLIT = "split", "Part of another deletion"

    database = models.CharField(max_length=60, db_default="default")
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    table_oid = models.BigIntegerField()
    record_id = models.TextField(
        blank=True, db_default="", help_text="Of the record it began with; empty when several."
    )
    roots = models.BigIntegerField(db_default=1, help_text="Records it began with.")
    deleted_at = models.DateTimeField()
    actor = models.CharField(max_length=300)
    reason = models.TextField(blank=True, db_default="")
    source = models.CharField(max_length=10, choices=Source.choices)
    state = models.CharField(
        max_length=10, choices=State.choices, db_default=State.DELETED, default=State.DELETED
    )
    xid = models.BigIntegerField(help_text="The transaction that made it.")
    purge_after = models.DateTimeField(
        null=True, blank=True, help_text="The end of its grace; empty for none."
    )
    purge_asked_by = models.CharField(
        max_length=300,
        blank=True,
        db_default="",
        help_text="Who asked to destroy it before its grace is over.",
    )
    split_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="parts"
    )
    restored_at = models.DateTimeField(null=True, blank=True)
    restored_by = models.CharField(max_length=300, blank=True, db_default="")
    restore_reason = models.TextField(blank=True, db_default="")
    run = models.ForeignKey(
        "operations.Run",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The run that destroys it, or asks to, or that moved it into the bin.",
    )
    refused = models.JSONField(
        default=list,
        db_default=[],
        help_text="What kept records: table, constraint, rows, and some of their ids.",
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [
            ("delete_record", "Can delete records into the bin"),
            ("restore_record", "Can restore records from the bin"),
            ("purge_record", "Can ask to destroy what is in the bin"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-deleted_at", "-id"], name="deletion_newest"),
            models.Index(fields=["table_oid", "record_id"], name="deletion_record"),
            models.Index(fields=["xid"], name="deletion_xid"),
            models.Index(
                fields=["purge_after"], condition=Q(state="deleted"), name="deletion_grace"
            ),
            models.Index(
                fields=["split_from"],
                condition=Q(split_from__isnull=False),
                name="deletion_split_from",
            ),
        ]

    def __str__(self) -> str:
        return f"deletion {self.pk}"

    @property
    def table(self) -> TableName:
        return TableName(self.schema_name, self.table_name)

    @property
    def current(self) -> Deletion.State:
        return Deletion.State(self.state)


class DeletionTable(models.Model):
    """How many rows of one table a deletion has, and had."""

    deletion = models.ForeignKey(Deletion, on_delete=models.CASCADE, related_name="tables")
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    table_oid = models.BigIntegerField()
    level = models.IntegerField(help_text="Steps from the record it began with.")
    deleted = models.BigIntegerField(db_default=0, help_text="Rows that it took, or was given.")
    restored = models.BigIntegerField(db_default=0)
    moved = models.BigIntegerField(db_default=0, help_text="Rows that another deletion has now.")
    purged = models.BigIntegerField(db_default=0)

    class Meta:
        ordering: ClassVar = ["deletion", "level", "schema_name", "table_name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["deletion", "table_oid"], name="deletion_table_once")
        ]

    def __str__(self) -> str:
        return f"{self.deletion}: {self.table}"

    @property
    def table(self) -> TableName:
        return TableName(self.schema_name, self.table_name)

    @property
    def rows(self) -> int:
        """In the bin now."""
        return self.deleted - self.restored - self.moved - self.purged


class SeveredReference(models.Model):
    """A reference of a row that stayed, set to NULL or to its default because of a deletion."""

    class Outcome(models.TextChoices):
        OPEN = "", "Not yet"
        BACK = "back", "Put back"
        CHANGED = "changed", "Changed since, so left"
        GONE = "gone", "Its row is gone"

    deletion = models.ForeignKey(Deletion, on_delete=models.CASCADE, related_name="severed")
    schema_name = models.CharField(max_length=63)
    table_name = models.CharField(max_length=63)
    table_oid = models.BigIntegerField()
    constraint_name = models.CharField(max_length=63)
    record_id = models.TextField(help_text="Of the row that referred.")
    was = models.JSONField(help_text="The columns that were set, with their values as text.")
    became = models.JSONField(help_text="The same columns afterwards.")
    outcome = models.CharField(
        max_length=10, choices=Outcome.choices, db_default="", default="", blank=True
    )

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["table_oid", "record_id"], name="severed_record"),
        ]

    def __str__(self) -> str:
        return f"{self.deletion}: {self.table} {self.record_id}"

    @property
    def table(self) -> TableName:
        return TableName(self.schema_name, self.table_name)
