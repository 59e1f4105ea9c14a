"""manage.py policy_list"""

from __future__ import annotations

from typing import Any

from operations.commands import CustodyCommand, Result, text_table
from retention.models import RetentionPolicy
from retention.presenting import policy_json
from retention.selectors.policies import policies_waiting
from retention.services.policy_difference import disposition_words
from retention.services.policy_terms import PolicyTerms


class Command(CustodyCommand):
    help = "The policies with the terms that are in force, and which of them a change waits for."

    def work(self, **options: Any) -> Result:
        policies = list(RetentionPolicy.objects.all())
        waiting = policies_waiting()
        rows = [
            [
                policy.name,
                str(policy.table),
                policy.term,
                disposition_words(PolicyTerms.of(policy)) if policy.destroys else "",
                policy.owner,
                str(policy.version),
                _state(policy, waiting.get(policy.name)),
            ]
            for policy in policies
        ]
        documents = [
            {**policy_json(policy), "waiting_run": waiting.get(policy.name)} for policy in policies
        ]
        table = text_table(
            *("policy", "table", "kept for", "then", "owner", "version", ""),
            rows=rows,
            right=frozenset({5}),
        )
        return Result({"policies": documents}, [table if rows else "No policies."])


def _state(policy: RetentionPolicy, run: int | None) -> str:
    state = "in force" if policy.enabled else "not in force"
    return f"{state}; run {run} waits" if run is not None else state
