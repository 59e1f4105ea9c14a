"""The look at the tables with soft delete every hour: what migrations took away is made again.

What an application's migration dropped (the view, a guard, the index) is put back here. What only
somebody can decide becomes an alert with what to do: a new table whose rows go along, a table or a
column that is gone, a change that was interrupted.
"""

from __future__ import annotations

import logging

from django.db import transaction

from operations.catalogue.types import TableName
from operations.exceptions import CustodyError
from operations.services.actors import system_user
from operations.services.alerts import alert_raise, alerts_resolve_others
from retention.models import SoftDeleteTable
from retention.selectors.softdelete_standing import Standing, standings
from retention.services.softdelete_adopt import softdelete_adopt
from retention.services.softdelete_enable import softdelete_repair

SOFTDELETE_WATCH = "retention.softdelete_watch"
PREFIX = "softdelete:"
WATCHER = "softdelete-watch"
log = logging.getLogger(__name__)


def softdelete_watch(*, using: str = "default") -> list[TableName]:
    """Repairs what can be, raises alerts for the rest; returns the tables that were repaired.

    In a database that was restored the tables are found again first. A table that could not be
    repaired keeps no other from it; the next look tries again.
    """
    repaired, troubled = [], {}
    if found := softdelete_adopt(using=using):
        log.warning("The database was restored: %s found again.", ", ".join(map(str, found)))
    for standing in standings(using=using):
        try:
            told, changed = _look(standing, using)
        except CustodyError as error:
            log.warning("%s could not be repaired: %s", standing.name, error)
            told, changed = [str(error)], False
        if changed:
            repaired.append(standing.name)
        if told:
            troubled[f"{PREFIX}{standing.row.pk}"] = told
            alert_raise(
                key=f"{PREFIX}{standing.row.pk}",
                summary=f"Soft delete of {standing.name} needs attention.",
                remedy="\n".join(told),
            )
    alerts_resolve_others(prefix=PREFIX, current=set(troubled))
    return repaired


def _look(standing: Standing, using: str) -> tuple[list[str], bool]:
    """What is wrong and stays so, and whether anything was made again."""
    if standing.dropped or standing.unready:
        return list(standing.problems), False
    _rename(standing, using)
    if not standing.repairable or standing.columns_lost:
        return list(standing.problems), False
    softdelete_repair(standing.row, actor=system_user(WATCHER), using=using)
    left = [each for each in standings(using=using) if each.row.pk == standing.row.pk]
    return [problem for each in left for problem in each.problems], True


def _rename(standing: Standing, using: str) -> None:
    """The registry follows a new name, and so do decisions that name the table."""
    row, before, now = standing.row, standing.row.table, standing.name
    if before == now:
        return
    with transaction.atomic(using=using):
        row.schema_name, row.table_name = now.schema, now.name
        row.save(update_fields=["schema_name", "table_name"])
        for other in SoftDeleteTable.objects.using(using).filter(disabled_at=None):
            along = [
                [now.schema, now.name] if TableName(*each) == before else each
                for each in other.along
            ]
            if along != other.along:
                other.along = along
                other.save(update_fields=["along"])
