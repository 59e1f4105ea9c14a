"""manage.py policy_show POLICY"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from operations import vetoes
from operations.commands import CustodyCommand, Result, text_table
from operations.run_commands import plan_lines
from operations.runs.present import run_json
from retention.presenting import policy_json
from retention.selectors.policies import policy_approval, policy_get, policy_waiting
from retention.services.policy_difference import terms_words
from retention.services.policy_terms import PolicyTerms


class Command(CustodyCommand):
    help = "One policy: its terms, who approved them, what waits, and which holds touch its table."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="POLICY")

    def work(self, **options: Any) -> Result:
        policy = policy_get(options["policy"])
        approval, waiting = policy_approval(policy), policy_waiting(policy)
        holds = vetoes.holders(policy.table, using=policy.database)
        document = {
            **policy_json(policy),
            "approval": approval.to_json() if approval is not None else None,
            "waiting": run_json(waiting) if waiting is not None else None,
            "holds": holds,
        }
        facts = [[what, text] for what, text in terms_words(PolicyTerms.of(policy)).items()]
        facts.append(["version", f"{policy.version}, of {policy.updated_at:%Y-%m-%d %H:%M}"])
        facts.append(["approved by", str(approval) if approval is not None else "nobody had to"])
        facts.append(["held by", ", ".join(holds) or "nobody"])
        text: list[Any] = [text_table("", "", rows=facts)]
        if waiting is not None:
            text += ["", *plan_lines(waiting)]
        return Result({"policy": document}, text)
