"""Evidence that still lies in the storage: copies of versions, and of what may be in them."""

from __future__ import annotations

from collections.abc import Iterator

from auditing.models import TrackedTable
from operations.catalogue.types import TableName
from operations.models import Run


def evidence_kept(*, using: str) -> Iterator[Run]:
    """The exports whose file nobody has fetched and no day has ended, oldest first."""
    found = Run.objects.filter(kind="evidence_export", state="succeeded", database=using)
    for run in found.filter(result__has_key="file").order_by("id"):
        if run.result["file"]:
            yield run


def evidence_copies(table: TableName, *, using: str) -> Iterator[str]:
    """Sentences about evidence in the storage that holds versions of the table's rows."""
    audits = set(
        TrackedTable.objects.using(using)
        .filter(schema_name=table.schema, table_name=table.name, database=using)
        .values_list("pk", flat=True)
    )
    for run in evidence_kept(using=using):
        if audits & set(run.parameters["tracked"]):
            yield (
                f"Evidence that run {run.pk} exported holds versions of the rows: "
                f"{run.result['file']} in the storage, until {run.result['kept_until'][:10]}."
            )
