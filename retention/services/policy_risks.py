"""Why new terms of a policy need another person: they could destroy what the old ones keep.

Invariant: where no reason is found, every row that is due by the new terms is due by the old ones
too, and what becomes of it is no worse.
"""

from __future__ import annotations

from operations.conditions.structure import Condition, Or
from retention.models.policy import term_words
from retention.services.policy_terms import PolicyTerms

_EMPTIES = (
    "It begins to destroy what is in the bin of {} when its grace is over: until now it was kept."
)


def policy_risks(old: PolicyTerms | None, new: PolicyTerms) -> tuple[str, ...]:
    """The reasons, as sentences; none when the change may be in force at once.

    Args:
        old: the terms in force; None where there is no policy yet.
    """
    if not new.removes:
        return ()
    if old is None or not old.removes:
        if new.keep_hours is None:
            return (_EMPTIES.format(new.table),)
        return (f"It begins to remove rows of {new.table}: until now none were.",)
    found: list[str] = []
    if new.table != old.table:
        found.append(f"It removes rows of {new.table} in place of {old.table}.")
    elif new.soft_delete and not old.soft_delete:
        found.append(_EMPTIES.format(new.table))
    if _shorter(new.keep_hours, old.keep_hours):
        found.append(
            f"Rows are kept for {term_words(new.keep_hours)} in place of "
            f"{term_words(old.keep_hours)}."
        )
    if new.age_column != old.age_column and None not in (new.keep_hours, old.keep_hours):
        found.append(f"The age is counted from {new.age_column} in place of {old.age_column}.")
    if not keeps_as_much(old.keep_condition, new.keep_condition):
        found.append(
            f"Rows that were kept while {old.keep_text} are kept while {new.keep_text}."
            if new.keep_condition
            else f"Rows are no longer kept while {old.keep_text}."
        )
    return (*found, *_fates(old, new))


def _fates(old: PolicyTerms, new: PolicyTerms) -> list[str]:
    """What becomes of the rows that go."""
    found: list[str] = []
    if old.archive_first and not new.archive_first:
        found.append("Rows are no longer archived before they are deleted.")
    elif old.archive_first and _shorter(new.archive_days, old.archive_days):
        before = "for ever" if old.archive_days is None else f"for {old.archive_days:,} days"
        found.append(f"Archives are kept for {new.archive_days:,} days in place of {before}.")
    if old.soft_delete and not new.soft_delete:
        found.append("Rows are no longer deleted softly first.")
    added = [str(table) for table in new.dependents if table not in old.dependents]
    if added:
        found.append(f"Rows of {', '.join(added)} go along with the rows that they refer to.")
    return found


def _shorter(new: int | None, old: int | None) -> bool:
    """Days, or hours; None is for ever."""
    return new is not None and (old is None or new < old)


def keeps_as_much(old: Condition | None, new: Condition | None) -> bool:
    """Whether every row that the old condition keeps is certainly kept by the new one.

    A row goes only when the condition is FALSE for it. An OR is FALSE only when all its parts are:
    so more alternatives never let more rows go, and where nothing was kept anything may be.
    Whatever else might be the same, or wider, is for a person to see.
    """
    if old is None or new == old:
        return True
    return new is not None and _alternatives(old) <= _alternatives(new)


def _alternatives(condition: Condition) -> frozenset[Condition]:
    return frozenset(condition.parts if isinstance(condition, Or) else (condition,))
