"""A policy in words: the same on its page, in its history and in lists."""

from __future__ import annotations

from operations.admin.show import NOTHING, Fact, code, number, when
from operations.catalogue.types import TableName
from retention.models import RetentionPolicy
from retention.presenting import keep_text


def disposition(policy: RetentionPolicy) -> str:
    """What becomes of rows in the end."""
    if not policy.archive_first:
        return "destroyed"
    if policy.archive_days is None:
        return "archived for ever"
    return f"archived for {policy.archive_days:,} days, then destroyed"


def then(policy: RetentionPolicy) -> str:
    """What becomes of rows at the end of their term; empty when they have none."""
    if not policy.destroys:
        return ""
    first = "into the bin, then " if policy.soft_delete else ""
    return f"{first}{disposition(policy)}"


def along(policy: RetentionPolicy) -> str:
    """The tables whose rows go along; empty without any."""
    return ", ".join(str(TableName(*each)) for each in policy.dependents)


def sentence(policy: RetentionPolicy) -> str:
    """The whole policy as one would tell it."""
    after_grace = f"What is in the bin is {disposition(policy)} when its grace is over."
    if policy.keeps_for_ever:
        unless = f", unless they are deleted. {after_grace}" if policy.soft_delete else "."
        return f"Rows of {policy.table} are kept for ever{unless}"
    keep = keep_text(policy)
    with_them = ""
    if policy.dependents:
        with_them = f", together with the rows of {along(policy)} that refer to them"
    unless = f", unless {keep}" if keep else ""
    if policy.soft_delete:
        return (
            f"Rows of {policy.table} are kept for {policy.term} after {policy.age_column}{unless}. "
            f"Then they go into the bin, with all that hangs on them. {after_grace}"
        )
    return (
        f"Rows of {policy.table} are kept for {policy.term} after {policy.age_column}{unless}. "
        f"Then they are {disposition(policy)}{with_them}."
    )


def facts(policy: RetentionPolicy) -> list[Fact]:
    return [
        Fact("Table", code(str(policy.table))),
        Fact("Kept for", policy.term),
        Fact("Counted from", code(policy.age_column), "a row whose age is unknown is kept"),
        Fact(
            "Kept while",
            code(keep_text(policy)),
            "a row for which this is unknown is kept" if policy.keep_condition else "no condition",
        ),
        Fact("What becomes of them", disposition(policy).capitalize()),
        Fact("Go along", code(along(policy)), "rows that refer to them go with them")
        if policy.dependents
        else Fact("Go along", NOTHING, _not_named(policy)),
        Fact("Soft deletion first", "yes" if policy.soft_delete else "no"),
        Fact("Legal basis", policy.legal_basis or NOTHING),
        Fact("Owner", policy.owner or NOTHING),
        Fact("Version", number(policy.version), "rises with every change"),
        Fact("Database", policy.database),
        Fact("Last changed", when(policy.updated_at)),
    ]


def _not_named(policy: RetentionPolicy) -> str:
    if policy.soft_delete:
        return "what goes along into the bin is decided where soft delete is enabled"
    return "rows that are still referred to are kept"
