"""Proof of what was done: signed, numbered, never changed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from operations.models.run import Run


class SigningKey(models.Model):
    """The public half of a signing key. The private half is a file outside the database."""

    key_id = models.CharField(max_length=16, unique=True)
    public_key = models.CharField(max_length=64, help_text="Ed25519, 32 bytes, base64.")
    created_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True, blank=True)
    ended = models.CharField(
        max_length=12,
        blank=True,
        choices=[("rotated", "Rotated"), ("lost", "Lost"), ("compromised", "Compromised")],
        help_text="Why it is retired; empty of one that was before this was noted.",
    )
    compromised_since = models.DateTimeField(
        null=True, blank=True, help_text="What it signed since then is not believed."
    )
    reason = models.TextField(blank=True)
    statements = models.JSONField(
        default=list, blank=True, help_text="Of its end, signed: see operations.key_statements."
    )

    class Meta:
        ordering: ClassVar = ["created_at"]

    def __str__(self) -> str:
        return self.key_id


class Certificate(models.Model):
    """A signed statement, for example of the disposition of rows at the end of their term.

    `body` is what was signed, as canonical JSON (see `operations.services.certificates`).
    """

    number = models.CharField(max_length=30, unique=True)
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    run = models.ForeignKey(
        Run, null=True, blank=True, on_delete=models.PROTECT, related_name="certificates"
    )
    body = models.JSONField()
    signature = models.CharField(max_length=100, help_text="Ed25519, base64.")
    key = models.ForeignKey(SigningKey, on_delete=models.PROTECT)
    json_path = models.CharField(max_length=300, help_text="In the storage.")
    pdf_path = models.CharField(max_length=300, help_text="In the storage.")
    issued_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "kind"], name="certificate_once_a_run")
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.subject}"
