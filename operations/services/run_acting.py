"""For whom a worker changes something while it works on a run."""

from __future__ import annotations

from contextlib import AbstractContextManager

from operations.acting import Acting, acting_as, person_fields
from operations.models import Run


def acting_for(run: Run) -> AbstractContextManager[None]:
    """Within, who asked for the run acts, for their reason, whoever woke the worker.

    Of the request that woke it its number is kept: address and browser may be another person's,
    who approved.
    """
    who = person_fields(run.requester)
    return acting_as(
        lambda outside: Acting(
            **who, reason=run.reason, request_id=outside.request_id, extra={"run": run.pk}
        )
    )
