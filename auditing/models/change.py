"""Who changed what: contexts, transactions, statements, and what people say of versions."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import F, Func, Value
from django.utils import timezone

from auditing.models.numbering import CurrentTransaction
from auditing.models.tracked import TrackedTable


class Operation(models.TextChoices):
    """As the history writes them in its column `op`."""

    INSERT = "I", "Insert"
    UPDATE = "U", "Update"
    DELETE = "D", "Delete"
    TRUNCATE = "T", "Truncate"
    REKEY = "R", "Key given up"
    BASELINE = "B", "Found when the audit began"
    CARRIED = "C", "Carried forward"
    PURGE = "P", "Purge"


def reason_words() -> SearchVector:
    """The words of a reason: whatever stands between them is a blank, so that `#4711` is found."""
    separate = Func(
        F("reason"),
        Value("\\W+"),
        Value(" "),
        Value("g"),
        function="regexp_replace",
        output_field=models.TextField(),
    )
    return SearchVector(separate, config="simple")


class ChangeContext(models.Model):
    """Who, from where and why, as it was said before a transaction's first change.

    Written by the capture function from the setting `custody.context`, at most once a transaction
    unless it says something else in between. `claimed` is what a session of any other role than the
    console's said: nobody has checked it.
    """

    xid = models.BigIntegerField()
    at = models.DateTimeField()
    actor = models.TextField(help_text="console:NAME, app:KEY or db:ROLE.")
    user_id = models.TextField(blank=True)
    user_email = models.TextField(blank=True)
    impersonator = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.TextField(blank=True)
    request_id = models.TextField(blank=True)
    extra = models.JSONField(default=dict)
    claimed = models.BooleanField(default=True)
    session_user = models.TextField()
    client_addr = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(
                fields=["request_id", "-id"],
                name="context_request",
                condition=~models.Q(request_id=""),
            ),
            models.Index(fields=["xid"], name="context_xid"),
            models.Index(
                fields=["user_email", "-id"],
                name="context_email",
                condition=~models.Q(user_email=""),
            ),
            models.Index(fields=["-id"], name="context_reasoned", condition=~models.Q(reason="")),
            GinIndex(reason_words(), name="context_reason", condition=~models.Q(reason="")),
        ]

    def __str__(self) -> str:
        return self.actor


class ChangeTransaction(models.Model):
    """One transaction that changed audited tables; written a few seconds after its commit."""

    xid = models.BigIntegerField(primary_key=True)
    first_at = models.DateTimeField(help_text="Of its first change.")
    committed_at = models.DateTimeField(
        null=True, blank=True, help_text="Where track_commit_timestamp is on."
    )
    statements = models.IntegerField()
    rows = models.BigIntegerField()
    actor = models.TextField()
    context = models.ForeignKey(
        ChangeContext, null=True, db_constraint=False, on_delete=models.DO_NOTHING
    )

    class Meta:
        ordering: ClassVar = ["-xid"]
        indexes: ClassVar = [models.Index(fields=["committed_at"], name="transaction_committed")]

    def __str__(self) -> str:
        return f"Transaction {self.xid}"


class AuditEvent(models.Model):
    """What was done to the audit itself, or by it as a whole: tracking, a purge, retention."""

    class Kind(models.TextChoices):
        TRACK = "track", "Audit began"
        UNTRACK = "untrack", "Audit ended"
        SYNC = "sync", "Adjusted to changed columns"
        DDL = "ddl", "Columns changed"
        PURGE = "purge", "Purge"
        RETIRE = "retire", "History retired"
        REDACT = "redact", "Values redacted"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    tracked = models.ForeignKey(TrackedTable, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    seq = models.BigIntegerField(null=True, help_text="Its place in the order of versions.")
    actor = models.TextField()
    reason = models.TextField(blank=True)
    run_id = models.BigIntegerField(null=True, blank=True)
    certificate = models.TextField(blank=True, help_text="Its number.")
    rows = models.BigIntegerField(null=True, blank=True)
    detail = models.JSONField(default=dict)
    xid = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["tracked", "-id"], name="event_tracked"),
            models.Index(fields=["xid"], name="event_xid"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.tracked}"


class ChangeStatement(models.Model):
    """One firing of a statement's triggers on one table, and how many rows it changed.

    Made by `statement_summarise` from the history; a purge has one line of its own.
    """

    id = models.BigIntegerField(primary_key=True)
    tracked = models.ForeignKey(
        TrackedTable, db_constraint=False, on_delete=models.DO_NOTHING, related_name="statements"
    )
    operation = models.CharField(max_length=1, choices=Operation.choices)
    xid = models.BigIntegerField()
    at = models.DateTimeField()
    rows = models.BigIntegerField()
    first_seq = models.BigIntegerField(null=True)
    last_seq = models.BigIntegerField(null=True)
    changed = ArrayField(
        models.TextField(), default=list, help_text="Names of the columns that any row changed."
    )
    actor = models.TextField()
    context = models.ForeignKey(
        ChangeContext, null=True, db_constraint=False, on_delete=models.DO_NOTHING
    )
    session_user = models.TextField()
    client_addr = models.GenericIPAddressField(null=True, blank=True)
    event = models.ForeignKey(AuditEvent, null=True, blank=True, on_delete=models.PROTECT)

    class Meta:
        verbose_name = "change"
        verbose_name_plural = "audit log"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["tracked", "-id"], name="statement_tracked"),
            models.Index(fields=["tracked", "operation", "-id"], name="statement_operation"),
            models.Index(fields=["actor", "-id"], name="statement_actor"),
            models.Index(fields=["at"], name="statement_at"),
            models.Index(fields=["xid"], name="statement_xid"),
            models.Index(
                fields=["context", "-id"],
                name="statement_context",
                condition=models.Q(context__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_operation_display()} of {self.rows} in {self.tracked}"


class SummaryPosition(models.Model):
    """How far the summaries are: what was visible to the last pass. One row.

    A pass goes on where `reached` says until it has done everything that `target` sees.
    """

    snapshot = models.TextField(
        blank=True, help_text="pg_current_snapshot() of the last pass; empty before the first."
    )
    at = models.DateTimeField(default=timezone.now)
    before_at = models.DateTimeField(null=True, blank=True, help_text="Of the pass before it.")
    open_since = models.JSONField(
        default=dict,
        help_text="Transactions that the last pass saw running, and since when at the earliest.",
    )
    target = models.TextField(
        blank=True, help_text="pg_current_snapshot() of the pass under way; empty: there is none."
    )
    target_at = models.DateTimeField(null=True, blank=True)
    numbered = models.BigIntegerField(
        default=0, help_text="The highest statement that the last pass can have known."
    )
    target_numbered = models.BigIntegerField(default=0, help_text="Likewise of that under way.")
    above = models.BigIntegerField(
        default=0, help_text="Statements up to this number are done in the pass under way."
    )
    upto = models.BigIntegerField(default=0, help_text="The last of those that are next.")
    reached = models.BigIntegerField(
        default=0, help_text="Tracked tables up to this one are done for these."
    )

    def __str__(self) -> str:
        return self.snapshot


class VersionNote(models.Model):
    """A name and a comment that somebody gave to one version of one record."""

    tracked = models.ForeignKey(TrackedTable, on_delete=models.CASCADE, related_name="notes")
    record_id = models.TextField()
    seq = models.BigIntegerField()
    name = models.CharField(max_length=100, blank=True)
    comment = models.TextField(blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="version_notes"
    )
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["seq"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tracked", "record_id", "seq"], name="version_note_once"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.comment
