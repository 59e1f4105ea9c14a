"""manage.py audit_policies: a policy for every history that has none."""

from __future__ import annotations

from typing import Any

from operations.commands import CustodyCommand, Result
from retention.policy_answers import answers_result
from retention.services.history_policy import HISTORY_DAYS, history_policies_propose


class Command(CustodyCommand):
    help = (
        f"Proposes a policy ({HISTORY_DAYS} days, archived first) for every history of an audited "
        "table that has none, as the night does. Another person has to approve each; until then "
        "nothing of the history goes."
    )
    changes = True

    def work(self, **options: Any) -> Result:
        dry_run: bool = options["dry_run"]
        answers = history_policies_propose(
            requester=self.actor(options), reason=options["reason"], dry_run=dry_run
        )
        return answers_result(answers, dry_run=dry_run)
