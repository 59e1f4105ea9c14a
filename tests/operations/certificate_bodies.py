"""What the tests of certificates certify."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

PURGE: dict[str, Any] = {
    "statement": "On 23 November 2026 1,234,567 rows of shop.analytics_events were archived.",
    "run": 12,
    "policy": {"name": "analytics_events", "version": 3, "retention_days": 730},
    "legal_basis": "GDPR art. 5(1)(e)",
    "requested_by": "Ana Čović",
    "approved_by": None,
    "started_at": "2026-11-23T03:00:00Z",
    "finished_at": "2026-11-23T03:12:44Z",
    "cutoff": "2024-11-23T03:00:00Z",
    "predicate": "created_at < '2024-11-23' AND (status = 'open' & <b>flagged</b>) IS FALSE",
    "disposition": "archived until 2033-01-01",
    "tables": [
        {"table": "shop.analytics_events", "rows": 1234567, "bytes": 987654321},
        {"table": 'shop."Öffnung"', "rows": 0, "bytes": 0},
    ],
    "archive": {
        "name": "analytics_events-12",
        "manifest_sha256": "ab" * 32,
        "parts": [
            {"file": f"part-{i:06}.csv.zst", "rows": 50_000 + i, "sha256": f"{i:064x}"}
            for i in range(150)
        ],
    },
    "kept": {"by_condition": 12, "undecided": 3, "vetoed": 0, "referenced": 44},
    "copies_that_remain": ["Backups, up to 35 days", "The replica db2"],
    "outcome": "complete",
}

# Text as PostgreSQL can keep it: no NUL, no half of a surrogate pair.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)
bodies = st.dictionaries(texts, values, max_size=5)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def shuffled(value: Any) -> Any:
    """The same value with every object's keys in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    if isinstance(value, list):
        return [shuffled(item) for item in value]
    return value
