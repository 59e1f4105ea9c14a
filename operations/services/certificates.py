"""Issuing certificates: signed, numbered statements that are never changed.

Invariant: the row of a certificate exists only if both its files are durable in the storage, and a
run has one certificate of a kind at most, however often it is killed and started again.

The number is taken first (a sequence never gives it twice, whoever rolls back), then the files are
written under it, then comes the row, in the caller's transaction. Whoever is killed in between
leaves files of a number without a row. Their names hold the run, so the next try for the run, which
has the run's row locked and therefore knows that the one before is dead, removes them.

What is signed is `canonical(envelope)`:

    {"format": "custody-certificate/1", "number", "kind", "subject", "issued_at", "organisation",
     "key_id", "pdf_sha256", "body": {...}}

and the JSON file holds {"certificate": envelope, "signature", "public_key"}, so that it can be
verified without the database, and the PDF through its hash.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from operations import keys
from operations.certificates.canonical import canonical
from operations.certificates.files import (
    SignedDocument,
    certificate_number,
    certificate_paths,
    is_number_used,
    write_document,
)
from operations.exceptions import UsageError
from operations.models import Certificate, Run, SigningKey
from operations.services.certificate_leftovers import leftovers_remove
from operations.storage import storage

FORMAT = "custody-certificate/1"

logger = logging.getLogger(__name__)


def certificate_issue(
    *,
    kind: str,
    subject: str,
    body: dict[str, Any],
    run: Run | None,
    lock_until: datetime | None = None,
) -> Certificate:
    """Signs `body`, writes the files and inserts the row; or returns what the run has already.

    `kind` in lower case, such as `disposition`; `body` as `canonical` takes it, its `statement`
    (if there is one) the whole in a sentence or two. Times are text, ISO 8601.

    Until `lock_until` the storage itself refuses to delete the files.

    Two files are made durable, so call it in a transaction that holds no lock on a governed table.

    Raises:
        NotCanonical: the body has a value that cannot be signed.
        KeyUnusable: the signing key is not safe or cannot be read.
        StorageError: the files could not be written, or not be locked.
    """
    _check(kind, subject, body)
    issued = _issued(kind, run)
    if issued is not None:
        return issued
    # Drawing a long certificate takes a while: it is done before anything is locked.
    key = keys.current_key()
    given_before = _last_given()
    now = timezone.now().astimezone(UTC).replace(microsecond=0)
    envelope: dict[str, Any] = {
        "format": FORMAT,
        "number": _take_number(now.year),
        "kind": kind,
        "subject": subject,
        "issued_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "organisation": settings.CUSTODY_ORGANISATION,
        "key_id": key.key_id,
        "body": body,
    }
    # Each command would load it, and hardly any draws a certificate.
    from operations.certificates.pdf import certificate_pdf  # noqa: PLC0415

    pdf = certificate_pdf(envelope, public_key=key.public_key)
    envelope["pdf_sha256"] = hashlib.sha256(pdf).hexdigest()
    document = _signed(envelope, key)
    with transaction.atomic():
        if run is not None:
            # Waits for the end of a killed process's transaction, which may still be committed.
            run = Run.objects.select_for_update().get(pk=run.pk)
            issued = _issued(kind, run)
            if issued is not None:
                return issued
            leftovers_remove(run=run, given_before=given_before)
        json_path, pdf_path = certificate_paths(envelope["number"], run.pk if run else None)
        _store({json_path: write_document(document), pdf_path: pdf}, lock_until)
        return Certificate.objects.create(
            number=envelope["number"],
            kind=kind,
            subject=subject,
            run=run,
            body=envelope,
            signature=document.signature,
            key=key,
            json_path=json_path,
            pdf_path=pdf_path,
            issued_at=now,
        )


def _check(kind: str, subject: str, body: dict[str, Any]) -> None:
    # What the row could not hold must be found before there are files.
    for name, text, longest in (("kind", kind, 40), ("subject", subject, 200)):
        if not 0 < len(text) <= longest:
            raise UsageError(f"The {name} of a certificate has 1 to {longest} letters.")
    canonical([kind, subject, settings.CUSTODY_ORGANISATION, body])


def _issued(kind: str, run: Run | None) -> Certificate | None:
    if run is None:
        return None
    return Certificate.objects.filter(run_id=run.pk, kind=kind).order_by("id").first()


def _last_given() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM custody.certificate_number"
        )
        return int(cursor.fetchone()[0])


def _take_number(year: int) -> str:
    """The next number whose files do not exist.

    They do when the database was restored from a backup older than they are. Such a number was
    given to somebody, and is not given twice.
    """
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.nextval('custody.certificate_number')")
            number = certificate_number(year=year, counter=int(cursor.fetchone()[0]))
        if not is_number_used(storage(), number):
            return number
        logger.warning("The number %s is passed over: the storage has its files.", number)


def _signed(envelope: dict[str, Any], key: SigningKey) -> SignedDocument:
    signature = keys.sign(canonical(envelope))
    if signature.key_id != key.key_id:
        raise keys.KeyUnusable(
            f"The signing key changed from {key.key_id} to {signature.key_id} while certificate "
            f"{envelope['number']} was made. Try again."
        )
    return SignedDocument(envelope, signature.signature_b64, key.public_key)


def _store(files: dict[str, bytes], lock_until: datetime | None) -> None:
    store = storage()
    drafts = []
    try:
        for path, content in files.items():
            draft = store.draft(path, lock_until=lock_until)
            drafts.append(draft)
            draft.write(content)
        store.commit_all(drafts)
    finally:
        for draft in drafts:
            draft.discard()
