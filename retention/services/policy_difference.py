"""Two sets of terms side by side, in words."""

from __future__ import annotations

from dataclasses import dataclass

from retention.models.policy import term_words
from retention.services.policy_terms import PolicyTerms

NONE = "none"


@dataclass(frozen=True)
class Difference:
    what: str
    old: str
    """Empty for a policy that is new."""
    new: str

    def __str__(self) -> str:
        return f"{self.what}: {self.old} -> {self.new}" if self.old else f"{self.what}: {self.new}"


def terms_words(terms: PolicyTerms) -> dict[str, str]:
    """What each term is called, and how it reads. Every term has a line, in the same order."""
    return {
        "name": terms.name,
        "table": str(terms.table),
        "kept for": term_words(terms.keep_hours),
        "counted from": terms.age_column or NONE,
        "kept while": terms.keep_text or NONE,
        "then": disposition_words(terms),
        "soft deletion first": _yes(terms.soft_delete),
        "go along": ", ".join(map(str, terms.dependents)) or NONE,
        "legal basis": terms.legal_basis or NONE,
        "owner": terms.owner or NONE,
        "enabled": _yes(terms.enabled),
    }


def disposition_words(terms: PolicyTerms) -> str:
    """What becomes of rows at the end of their term."""
    first = "into the bin, then " if terms.soft_delete else ""
    if not terms.archive_first:
        return f"{first}destroyed"
    if terms.archive_days is None:
        return f"{first}archived for ever"
    return f"{first}archived for {terms.archive_days:,} days"


def policy_difference(old: PolicyTerms | None, new: PolicyTerms) -> tuple[Difference, ...]:
    """What is not the same; for a policy that is new, everything."""
    after = terms_words(new)
    before = terms_words(old) if old is not None else {}
    return tuple(
        Difference(what, before.get(what, ""), text)
        for what, text in after.items()
        if before.get(what) != text
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
