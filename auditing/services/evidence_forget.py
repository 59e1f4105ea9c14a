"""The end of evidence that nobody fetched: it is a copy of what may be personal data."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from auditing.selectors.evidence_kept import evidence_kept
from operations.services.runs import run_lock, run_log
from operations.storage import storage


def evidence_forget(*, using: str = "default") -> list[str]:
    """Deletes what is past its time from the storage; returns the files.

    Raises StorageError.
    """
    gone: list[str] = []
    for run in evidence_kept(using=using):
        until = parse_datetime(run.result["kept_until"])
        if until is None or until > timezone.now():
            continue
        storage().delete(run.result["file"])
        gone.append(run.result["file"])
        with transaction.atomic():
            locked = run_lock(run.pk)
            locked.result = {**locked.result, "file": None}
            locked.save(update_fields=["result"])
            run_log(locked, f"{gone[-1]} was deleted: its time in the storage was over.")
    return gone
