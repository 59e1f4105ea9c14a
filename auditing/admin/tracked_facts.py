"""An audited table in facts: the same on its page and before a decision about it."""

from __future__ import annotations

from django.utils.safestring import SafeString

from auditing.models import TrackedTable
from auditing.selectors.history_sizes import history_sizes
from operations.admin.show import Fact, badge, code, size, when


def tracked_facts(tracked: TrackedTable) -> list[Fact]:
    facts = [
        Fact("Table", code(str(tracked))),
        Fact("Audited since", when(tracked.tracked_at)),
    ]
    if tracked.untracked_at is not None:
        facts.append(Fact("Until", when(tracked.untracked_at)))
    return [
        *facts,
        Fact("Adjusted to its columns", when(tracked.synced_at)),
        Fact(
            "Changes of columns",
            "seen by the capture itself" if tracked.guarded else "seen by an event trigger",
            "no event trigger may be made here: a look at the catalogue with each statement"
            if tracked.guarded
            else "",
        ),
        Fact("Without a reason", "refused" if tracked.reason_required else "accepted"),
        Fact("History", size(history_sizes().get(tracked.history_name)), "on disk"),
        Fact("In SQL", code(str(tracked.history))),
    ]


def state_badge(tracked: TrackedTable, problems: list[str]) -> SafeString:
    """What somebody has to know first."""
    if tracked.untracked_at is not None:
        return badge("Ended")
    if problems:
        return badge("Needs somebody", "warning")
    if tracked.baseline_seq is not None:
        return badge("Baseline under way", "info")
    return badge("Audited", "success")
