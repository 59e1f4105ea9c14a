"""What differs between two versions of a policy, with the words that changed marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from operations.admin.word_diff import word_diff
from operations.models import Run
from retention.models import RetentionPolicy
from retention.services.policy_difference import Difference, policy_difference
from retention.services.policy_terms import PolicyTerms


@dataclass(frozen=True)
class Change:
    label: str
    shown: SafeString


def changes(found: Iterable[Difference]) -> list[Change]:
    return [_change(each.what, each.old, each.new) for each in found]


def changes_between(old: RetentionPolicy, new: RetentionPolicy) -> list[Change]:
    return changes(policy_difference(PolicyTerms.of(old), PolicyTerms.of(new)))


def changes_proposed(run: Run) -> list[Change]:
    """As the run that waits has them, whatever the policy says by now."""
    found: list[dict[str, Any]] = run.plan.get("difference", [])
    return [_change(each["what"], each["old"], each["new"]) for each in found]


def _change(what: str, old: str, new: str) -> Change:
    # Of a new policy nothing has changed: it is said plainly.
    return Change(what.capitalize(), word_diff(old or new, new))
