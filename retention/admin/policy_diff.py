"""What differs between two versions of a policy, in the words of its page, marked by word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.safestring import SafeString

from operations.admin.word_diff import word_diff
from operations.catalogue.types import TableName
from retention.admin.policy_words import disposition
from retention.models import RetentionPolicy
from retention.presenting import keep_text


@dataclass(frozen=True)
class Change:
    label: str
    old: str
    """Empty when there was nothing."""
    new: str

    @property
    def shown(self) -> SafeString:
        return word_diff(self.old, self.new)


def differences(old: RetentionPolicy | None, new: RetentionPolicy) -> list[Change]:
    """The terms that differ, in the order of the policy's page. All of them when `old` is None."""
    return [
        Change(label, before, after)
        for label, word in _WORDS.items()
        if (before := word(old) if old is not None else "") != (after := word(new))
    ]


def _then(policy: RetentionPolicy) -> str:
    return "" if policy.keeps_for_ever else disposition(policy)


def _dependents(policy: RetentionPolicy) -> str:
    return ", ".join(str(TableName(*each)) for each in policy.dependents)


_WORDS: dict[str, Callable[[RetentionPolicy], str]] = {
    "Name": lambda policy: policy.name,
    "Table": lambda policy: str(policy.table),
    "In force": lambda policy: "yes" if policy.enabled else "no",
    "Kept for": lambda policy: policy.term,
    "Counted from": lambda policy: policy.age_column,
    "Kept while": keep_text,
    "What becomes of them": _then,
    "Go along": _dependents,
    "Soft deletion first": lambda policy: "yes" if policy.soft_delete else "",
    "Legal basis": lambda policy: policy.legal_basis,
    "Owner": lambda policy: policy.owner,
}
