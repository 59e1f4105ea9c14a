"""Reads of certificates."""

from __future__ import annotations

from django.db.models import QuerySet

from operations.certificates.files import name_of
from operations.exceptions import UsageError
from operations.models import Certificate, Run
from operations.runs.states import OPEN
from operations.selectors.certificate_checks import CertificateCheck, certificate_check
from operations.storage import storage

__all__ = [
    "CertificateCheck",
    "NoSuchCertificate",
    "certificate_check",
    "certificate_get",
    "certificate_list",
    "certificate_strays",
]


class NoSuchCertificate(UsageError):
    """No certificate has this number."""


def certificate_list(*, kind: str | None = None, run: int | None = None) -> QuerySet[Certificate]:
    """Newest first."""
    found = Certificate.objects.select_related("run", "key")
    if kind:
        found = found.filter(kind=kind)
    if run is not None:
        found = found.filter(run_id=run)
    return found


def certificate_get(reference: str | int) -> Certificate:
    """By number (`C-2026-000123`) or by id. Raises NoSuchCertificate."""
    text = str(reference).strip()
    found = Certificate.objects.select_related("run", "key").filter(number=text.upper()).first()
    # isdecimal and a bound, since the text may be anything and an id is a bigint.
    if found is None and text.isdecimal() and len(text) < 19:
        found = Certificate.objects.select_related("run", "key").filter(pk=int(text)).first()
    if found is None:
        raise NoSuchCertificate(
            f"There is no certificate {reference}. `manage.py certificate_list` shows them."
        )
    return found


def certificate_strays() -> list[str]:
    """Paths of certificate files in the storage that no row knows, sorted.

    Files of a run that is not over are left out: its next try removes them.
    """
    known = {
        path for pair in Certificate.objects.values_list("json_path", "pdf_path") for path in pair
    }
    unknown = {
        path: name.run_id
        for path in storage().list("certificates/")
        if path not in known and (name := name_of(path))
    }
    under_way = set(
        Run.objects.filter(
            pk__in={run for run in unknown.values() if run}, state__in=OPEN
        ).values_list("pk", flat=True)
    )
    return [path for path, run in unknown.items() if run not in under_way]
