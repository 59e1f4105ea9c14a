"""Policies of the histories: each gets one, which another person has to approve.

Nothing of a history goes before that. Since its first month is due two years after a table is
tracked at the earliest, the night is soon enough to propose it.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.models import User

from auditing.models import TrackedTable
from auditing.selectors.images import history_exists
from operations.exceptions import CustodyError
from operations.services.alerts import alert_raise, alert_resolve
from retention.models import RetentionPolicy
from retention.selectors.audited import HISTORY
from retention.services.policy_change import PolicyAnswer, policy_propose
from retention.services.policy_terms import PolicyTerms
from retention.services.policy_terms_check import MOST_NAME

HISTORY_DAYS = 730
"""For which versions are at hand before they go to the archive."""
_ALERT = "history-policy:"


def history_policies_propose(
    *, requester: User, reason: str = "", dry_run: bool = False, using: str = "default"
) -> list[PolicyAnswer]:
    """Proposes a policy for every history that has none: two years, archived first.

    One that is there is left alone, whatever it says, also disabled or refused. What cannot be
    proposed becomes an alert, and keeps no other from it.
    """
    answers = []
    for tracked in _without(using):
        key = f"{_ALERT}{tracked.history_name}"
        try:
            answer = policy_propose(
                terms=_terms(tracked),
                actor=requester,
                reason=reason or f"{tracked} is audited.",
                dry_run=dry_run,
                using=using,
            )
        except CustodyError as error:
            alert_raise(
                key=key,
                summary=f"No policy could be proposed for {tracked.history}.",
                remedy=f"{error} Until it has one, nothing of it ever goes.",
            )
        else:
            answers.append(answer)
            alert_resolve(key=key)
    return answers


def _without(using: str) -> Iterator[TrackedTable]:
    governed = set(
        RetentionPolicy.objects.filter(database=using, schema_name=HISTORY).values_list(
            "table_name", flat=True
        )
    )
    for tracked in TrackedTable.objects.filter(database=using).order_by("id"):
        if tracked.history_name not in governed and history_exists(tracked):
            yield tracked


def _terms(tracked: TrackedTable) -> PolicyTerms:
    name = f"history of {tracked}"
    if len(name) > MOST_NAME or RetentionPolicy.objects.filter(name=name).exists():
        # It was tracked before, into another history.
        name = str(tracked.history)
    return PolicyTerms(
        name=name,
        table=tracked.history,
        age_column="at",
        keep_hours=24 * HISTORY_DAYS,
        archive_first=True,
    )
