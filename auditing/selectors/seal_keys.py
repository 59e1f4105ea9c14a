"""Which blocks a signing key signed."""

from __future__ import annotations

from auditing.models import SealBlock


def blocks_signed(key_id: str) -> int:
    return SealBlock.objects.filter(key_id=key_id).count()
