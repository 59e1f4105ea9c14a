"""What Celery beat asks of the audit."""

from __future__ import annotations

from celery import shared_task

from auditing.services import statement_summarise as summaries

__all__ = ["statement_summarise"]


@shared_task(name=summaries.STATEMENT_SUMMARISE)
def statement_summarise() -> None:
    """Every few seconds: the lines of the audit log for what was changed since."""
    summaries.statement_summarise()
