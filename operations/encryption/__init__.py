"""Encryption of what is stored, in the age format, to public keys.

Writing needs public keys only (CUSTODY_ARCHIVE_RECIPIENTS). Reading needs an identity, a private
key in a file that may be somewhere else altogether (CUSTODY_ARCHIVE_IDENTITY). Any tool that knows
age opens what is written here: see docs/storage.md.
"""

from operations.encryption.keys import (
    Identity,
    IdentityNeeded,
    RecipientUnusable,
    identities,
    identities_needed,
    recipients,
    refuse_unreadable,
    unreadable,
)
from operations.encryption.streams import CiphertextUnusable, Reading, decrypted, encrypt

__all__ = [
    "CiphertextUnusable",
    "Identity",
    "IdentityNeeded",
    "Reading",
    "RecipientUnusable",
    "decrypted",
    "encrypt",
    "identities",
    "identities_needed",
    "recipients",
    "refuse_unreadable",
    "unreadable",
]
