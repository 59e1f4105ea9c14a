"""manage.py audit_summarise: the lines of the audit log, where no beat makes them."""

from __future__ import annotations

from typing import Any

from auditing.services.statement_summarise import statement_summarise
from operations.commands import CustodyCommand, Result


class Command(CustodyCommand):
    help = (
        "Makes the lines of the audit log for what was changed since the last time, as beat does "
        "every ten seconds. Changes nothing in the governed tables."
    )

    def work(self, **options: Any) -> Result:
        added = statement_summarise()
        said = f"{added:,} statements were added to the audit log."
        return Result({"statements": added}, [said])
