"""What a restore would do, looked at before anything is done."""

from __future__ import annotations

from typing import Any

from operations.runs.kinds import Plan
from retention.models import Archive
from retention.selectors.restore_choice import RestoreChoice
from retention.selectors.restore_target import target_name
from retention.services.layout import fingerprint
from retention.services.restore_family import Family, family
from retention.services.restore_recovery import recovery_ready
from retention.services.restore_work import RestoreWork, refuse_unready


def restore_plan(*, archive: Archive, choice: RestoreChoice, using: str) -> Plan:
    """Changes nothing.

    Raises:
        RestoreRefused: an archive is not closed, or does not fit its table any more.
        ConditionRefused, UsageError: the choice names what the archive does not have.
    """
    refuse_unready(archive)
    found = family(archive, choice, using=using)
    works = restore_works(found)
    work = works[0]
    facts: dict[str, Any] = {
        "archive": archive.name,
        "table": str(target_name(archive, choice)),
        "rows": archive.rows,
        "parts": len(work.parts) if work is not None else archive.parts.count(),
        "columns_with_their_default": work.target.added if work is not None else [],
        "columns_renamed": work.target.renamed if work is not None else {},
        **choice.facts(),
    }
    if len(found.archives) > 1:
        facts["dependents"] = [each.name for each in found.archives[1:]]
    return Plan(
        subject=archive.name,
        facts=facts,
        total=sum(each.rows for each in found.archives),
        parameters={
            "archive": archive.pk,
            "archives": [each.pk for each in found.archives],
            "choice": choice.to_json(),
            # A table that is made for restored rows is nobody's to change.
            "fingerprints": [
                fingerprint(each.target.table.name, using=using)
                if each is not None and not choice.into_schema
                else ""
                for each in works
            ],
        },
    )


def restore_works(found: Family) -> list[RestoreWork | None]:
    """For each archive; None where a table has yet to be made for its rows.

    Raises what RestoreWork does.
    """
    schema = found.choice.into_schema
    works: list[RestoreWork | None] = []
    for member, archive in enumerate(found.archives):
        if schema and not recovery_ready(archive, schema, using=found.using):
            refuse_unready(archive)
            works.append(None)
        else:
            works.append(found.work(member))
    return works
