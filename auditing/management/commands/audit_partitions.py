"""manage.py audit_partitions: partitions of the histories for the months to come."""

from __future__ import annotations

from typing import Any

from auditing.services.partition_ahead import MONTHS, partition_ahead
from operations.commands import CustodyCommand, Result


class Command(CustodyCommand):
    help = (
        f"Makes the partitions of every history for the next {MONTHS} months, as beat does every "
        "night. Exit code 1 when a history was in use the whole time."
    )

    def work(self, **options: Any) -> Result:
        done = partition_ahead()
        return Result(
            {"partitions": done.made, "behind": list(done.behind)},
            [f"{done.made:,} partitions were made.", *done.behind],
            exit_code=1 if done.behind else 0,
            problem="Some histories were in use: try again when no long transaction runs.",
        )
