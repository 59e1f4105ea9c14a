"""Archives past their term, and what is left of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from operations.models import Certificate
from retention.models import Archive

from .archiving import archive_of
from .purging import files


def past_its_term(table: str = "events", **terms: Any) -> Archive:
    """An archive of the table's due rows, whose own term was over yesterday."""
    archive = archive_of(table, archive_days=30, **terms)
    archive.expires_at = timezone.now() - timedelta(days=1)
    archive.save()
    return archive


def assert_destroyed(archive: Archive) -> dict[str, Any]:
    """Nothing is left but the proof; the certificate's body, which names every file."""
    archive.refresh_from_db()
    assert archive.state == "destroyed"
    assert archive.destroyed_at is not None
    run = archive.destroyed_by
    assert run is not None
    assert run.state == "succeeded", run.error
    assert files(archive.folder) == {f"{archive.folder}/destroyed.json"}
    assert all(part.window == {} for part in archive.parts.all()), "keys of rows are no proof"
    certificate = Certificate.objects.get(kind="destruction", run=run)
    body: dict[str, Any] = certificate.body["body"]
    named = [each for each in body["files"] if each["archive"] == archive.name]
    parts = list(archive.parts.order_by("number").values("file", "rows", "bytes", "sha256"))
    assert [{**each, "archive": archive.name} for each in parts] == named
    assert archive.name in run.result["archives"]
    return body


def assert_kept(archive: Archive, before: set[str]) -> None:
    archive.refresh_from_db()
    assert (archive.state, archive.destroyed_at, archive.destroyed_by) == ("complete", None, None)
    assert files(archive.folder) == before
