"""What policy_enable and policy_disable share: they differ in one word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from operations.commands import CustodyCommand, Result
from retention.policy_answers import answers_result, ask_twice
from retention.selectors.policies import policy_get
from retention.services.policy_change import policies_store, policy_prepare
from retention.services.policy_terms import PolicyTerms


class PolicySwitch(CustodyCommand):
    changes = True
    enabled: ClassVar[bool]

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policies", nargs="+", metavar="POLICY")

    def work(self, **options: Any) -> Result:
        policies = [policy_get(name) for name in options["policies"]]
        actor, dry_run = self.actor(options), options["dry_run"]
        proposals = [
            policy_prepare(
                terms=replace(PolicyTerms.of(policy), enabled=self.enabled),
                policy=policy,
                dry_run=dry_run,
            )
            for policy in policies
        ]
        if dry_run:
            return answers_result([each.answer() for each in proposals], dry_run=True)
        ask_twice(proposals, options)
        return answers_result(
            policies_store(proposals=proposals, actor=actor, reason=options["reason"]),
            dry_run=False,
        )
