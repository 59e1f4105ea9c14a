"""To whom archives are encrypted, and who can read them here."""

from __future__ import annotations

from django.conf import settings

from config.doctor.finding import Finding, fine, wrong
from operations.encryption import IdentityNeeded, RecipientUnusable, identities, recipients

_NAME = "archive keys"


def check_archive_keys() -> list[Finding]:
    try:
        to = recipients()
    except RecipientUnusable as error:
        return wrong(_NAME, str(error), "Until then no purge that archives can run.")
    try:
        held = [identity.recipient for identity in identities()]
    except IdentityNeeded as error:
        return wrong(_NAME, str(error), "Until then no encrypted archive can be read here.")
    if not to:
        kept = f"; {_identities(len(held))} for older archives" if held else ""
        return fine(_NAME, f"New archives are not encrypted{kept}")
    if not held:
        return fine(_NAME, f"Encrypted to {_shown(to)}; nothing here can decrypt them, as is well")
    if not set(held) & set(to):
        return wrong(
            _NAME,
            f"No identity in {settings.CUSTODY_ARCHIVE_IDENTITY} belongs to a recipient",
            "New archives could not be read here: add the identity of a recipient to the file, or "
            "take CUSTODY_ARCHIVE_IDENTITY away when they are not to be read here.",
        )
    return fine(_NAME, f"Encrypted to {_shown(to)}; {_identities(len(held))} here")


def _shown(to: tuple[str, ...]) -> str:
    return ", ".join(f"{key[:10]}...{key[-6:]}" for key in to)


def _identities(count: int) -> str:
    return "1 identity" if count == 1 else f"{count} identities"
