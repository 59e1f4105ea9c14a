"""Seals: blocks of leaves, what was taken away from what they cover, and how far sealing is.

None of these tables is audited or sealed as a whole: the sealer would feed itself. Removals and
redactions are, as rows that happen now and then.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from auditing.models.numbering import CurrentTransaction
from auditing.models.tracked import TrackedTable


class SealBlock(models.Model):
    """A signed header. See `auditing.seals.headers`; never changed once it is there."""

    number = models.BigIntegerField(primary_key=True, help_text="From 1, without a gap.")
    header = models.TextField(help_text="As it was signed, byte by byte.")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the header, in hex.")
    signature = models.CharField(max_length=100, help_text="Ed25519, base64.")
    key_id = models.CharField(max_length=16)
    leaves = models.IntegerField()
    made_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-number"]
        verbose_name = "sealed block"
        permissions: ClassVar = [
            ("export_evidence", "Can export evidence from the audit log"),
            ("seal_now", "Can seal the audit log now"),
            ("verify_log", "Can verify the audit log"),
            ("redact_value", "Can ask for values to be redacted"),
        ]
        indexes: ClassVar = [models.Index(fields=["made_at"], name="seal_block_made")]

    def __str__(self) -> str:
        return f"Block {self.number}"


class SealSection(models.Model):
    """The leaves of one source in a block, in the order of the tree.

    Of versions, all in one partition of the history.
    """

    block = models.ForeignKey(SealBlock, on_delete=models.PROTECT, related_name="sections")
    place = models.IntegerField(help_text="Of its first leaf in the block, from 0.")
    source = models.CharField(max_length=130, help_text="The table: history.shop__orders.")
    form = models.CharField(max_length=10, help_text="See auditing.seals.headers.Form.")
    tracked = models.ForeignKey(
        TrackedTable, null=True, on_delete=models.PROTECT, related_name="sections"
    )
    first = models.BigIntegerField(help_text="Least of its numbers.")
    last = models.BigIntegerField()
    first_statement = models.BigIntegerField(null=True)
    last_statement = models.BigIntegerField(null=True)
    first_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    meta = ArrayField(models.TextField())
    names = ArrayField(models.TextField())
    ids = ArrayField(
        models.BigIntegerField(), help_text="Of a version its number, of a row its key."
    )
    tags = ArrayField(
        models.BigIntegerField(),
        null=True,
        help_text="Where many have one number: what tells their records apart.",
    )
    hashes = models.BinaryField(help_text="The leaves, 32 bytes each.")
    secret = models.BinaryField(null=True, help_text="The salts are made from it; or:")
    salts = models.BinaryField(
        null=True, help_text="They stand here, those of redacted values as zeros."
    )

    class Meta:
        ordering: ClassVar = ["block", "place"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["block", "place"], name="seal_section_place")
        ]
        indexes: ClassVar = [
            models.Index(fields=["source", "form", "first"], name="seal_section_first"),
            models.Index(fields=["source", "form", "first_statement"], name="seal_section_said"),
        ]

    def __str__(self) -> str:
        return f"{self.source} in {self.block}"


class RedactedValue(models.Model):
    """One value of a sealed row that was destroyed with its salt; the commitment stays.

    Or, of `rest`, an entry that stays: then it has its own salt here, and no commitment.
    """

    section = models.ForeignKey(SealSection, on_delete=models.PROTECT, related_name="redacted")
    place = models.IntegerField(help_text="Of the leaf in its section, from 0.")
    name = models.TextField(help_text="As in the leaf: a column's, or rest.7.")
    commitment = models.BinaryField(null=True)
    salt = models.BinaryField(null=True)
    run_id = models.BigIntegerField()
    xid = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["section", "place", "name"], name="redacted_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["run_id"], name="redacted_run"),
            models.Index(fields=["xid"], name="redacted_xid"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of leaf {self.place} in {self.section}"


class Removal(models.Model):
    """What the console itself did to versions, a step of a run each: so nobody else's is excused.

    `purged`: these versions went with their records. `retired`: everything of the history before
    `until` went, month by month. `carried`: these images stand for it at `until`.
    """

    class Kind(models.TextChoices):
        PURGED = "purged", "Purged with their records"
        RETIRED = "retired", "Retired at the end of their term"
        CARRIED = "carried", "Carried forward"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    tracked = models.ForeignKey(TrackedTable, on_delete=models.PROTECT, related_name="removals")
    run_id = models.BigIntegerField(null=True)
    at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True)
    numbers = ArrayField(
        ArrayField(models.BigIntegerField(), size=2),
        default=list,
        help_text="Of versions: ranges of their numbers, both ends in.",
    )
    images = ArrayField(
        models.BigIntegerField(),
        default=list,
        help_text="Of images of a baseline, which share a number: their records' tags.",
    )
    versions = models.BigIntegerField(default=0, help_text="How many.")
    xid = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["tracked", "id"], name="removal_tracked"),
            models.Index(fields=["run_id"], name="removal_run"),
            models.Index(fields=["xid"], name="removal_xid"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.tracked}"


class SealPosition(models.Model):
    """How far sealing is. One row; a step moves it in the transaction of its block."""

    chain = models.UUIDField()
    snapshot = models.TextField(
        blank=True,
        help_text="custody.audit_snapshot() up to which all is sealed; empty at first.",
    )
    at = models.DateTimeField(default=timezone.now, help_text="When that pass began.")
    target = models.TextField(blank=True, help_text="Of the pass under way; empty: there is none.")
    target_at = models.DateTimeField(null=True, blank=True)
    todo = models.JSONField(default=list, help_text="What is left of the pass: see seal_plan.")
    baselines = models.JSONField(
        default=dict, help_text="Tables whose baseline may still write images, and since when."
    )
    anchored = models.BigIntegerField(default=0, help_text="The last block with a locked anchor.")
    anchored_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.snapshot
