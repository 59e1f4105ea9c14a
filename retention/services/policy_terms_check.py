"""Whether terms can be meant on the tables as they are: of new terms, and again of old ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from operations.catalogue.exceptions import NoSuchTable
from operations.catalogue.read import table as read_table
from operations.catalogue.types import Column, Table, TableName
from operations.conditions.check import check_condition
from operations.conditions.exceptions import ConditionRefused
from operations.exceptions import CustodyError
from retention.exceptions import PolicyRefused
from retention.selectors.audited import HISTORY, history_tracked
from retention.selectors.due import AGE_TYPES, RANGE_TYPES
from retention.selectors.softdelete_graph import Enabled, closure
from retention.services.policy_terms import PolicyTerms

MOST_DAYS = 365_000
"""A thousand years: what is meant for longer is meant for ever."""
MOST_NAME = 130
MOST_OWNER = 200
MOST_BASIS = 10_000

ReadTable = Callable[[TableName], Table]
"""Raises NoSuchTable."""


@dataclass(frozen=True)
class TermsProblem:
    what: str
    remedy: str
    term: str
    """Which term it is about, as `terms_words` calls it."""

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}"


def is_age(column: Column) -> bool:
    """Whether the column can tell a row's age."""
    return column.base_type in AGE_TYPES + RANGE_TYPES


def terms_check(terms: PolicyTerms, *, using: str = "default") -> None:
    """Raises PolicyRefused with everything that is wrong with the terms."""
    found = list(terms_problems(terms, using=using))
    if found:
        raise PolicyRefused(" ".join(map(str, found)))


def terms_problems(
    terms: PolicyTerms, *, using: str = "default", read: ReadTable | None = None
) -> Iterator[TermsProblem]:
    """What is wrong with the terms, and what to do.

    Args:
        read: how to look a table up, for who has read many at once.
    """
    read = read or (lambda name: read_table(name, using=using))
    yield from _texts(terms)
    yield from _amounts(terms)
    try:
        table = read(terms.table)
    except NoSuchTable as error:
        yield TermsProblem(
            str(error), "Name a table that is there, or disable the policy.", "table"
        )
        return
    yield from _history(terms, table, using)
    yield from _age(terms, table)
    yield from _condition(terms, table, using)
    if terms.soft_delete:
        yield from _softly(terms, table, using)
    else:
        yield from _dependents(terms, table, read)


def _texts(terms: PolicyTerms) -> Iterator[TermsProblem]:
    name = terms.name
    if not name or name != name.strip() or not name.isprintable() or len(name) > MOST_NAME:
        yield TermsProblem(
            f"{name!r} cannot be a policy's name.",
            f"Write 1 to {MOST_NAME} letters, digits and signs on one line, blanks only between.",
            "name",
        )
    for what, text, most in (
        ("owner", terms.owner, MOST_OWNER),
        ("legal basis", terms.legal_basis, MOST_BASIS),
    ):
        if len(text) > most or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            yield TermsProblem(
                f"The {what} is not a text that can be kept.",
                f"Write at most {most:,} whole characters.",
                what,
            )


def _amounts(terms: PolicyTerms) -> Iterator[TermsProblem]:
    hours, days = terms.keep_hours, terms.archive_days
    if hours is not None and not 0 <= hours <= 24 * MOST_DAYS:
        yield TermsProblem(
            f"A term of {hours:,} hours is not possible.",
            f"Say 0 to {MOST_DAYS:,} days, or that rows are kept for ever.",
            "kept for",
        )
    if days is None:
        return
    if not terms.archive_first:
        yield TermsProblem(
            "A term for archives is given, and nothing is archived.",
            "Archive before deletion, or leave the term out.",
            "then",
        )
    if not 1 <= days <= MOST_DAYS:
        yield TermsProblem(
            f"Archives cannot be kept for {days:,} days.",
            f"Say 1 to {MOST_DAYS:,} days, or leave it out: they are kept for ever.",
            "then",
        )


def _age(terms: PolicyTerms, table: Table) -> Iterator[TermsProblem]:
    fitting = ", ".join(column.name for column in table.columns if is_age(column))
    remedy = f"Choose one of: {fitting}." if fitting else f"{table.name} has no such column."
    if not terms.age_column:
        if terms.keep_hours is not None:
            yield TermsProblem("No column tells the age of a row.", remedy, "counted from")
        return
    column = table.column(terms.age_column)
    if column is None:
        yield TermsProblem(
            f"{table.name} has no column {terms.age_column!r}.", remedy, "counted from"
        )
    elif not is_age(column):
        yield TermsProblem(
            f"{table.name}.{column.name} is a {column.type}, not a date, a timestamp or a range "
            "of these.",
            remedy,
            "counted from",
        )


def _history(terms: PolicyTerms, table: Table, using: str) -> Iterator[TermsProblem]:
    """A history goes by whole partitions, after each row's newest version was carried forward."""
    if terms.table.schema != HISTORY:
        return
    if history_tracked(terms.table, using=using) is None:
        yield TermsProblem(
            f"{table.name} is not the history of an audited table.",
            "Name the history itself, not one of its partitions.",
            "table",
        )
    if terms.age_column not in ("", "at"):
        yield TermsProblem(
            "A version is as old as its change.", "Count from the column at.", "counted from"
        )
    if terms.keep_condition is not None or terms.dependents or terms.soft_delete:
        yield TermsProblem(
            "A history goes month by month, whole.",
            "Leave out the condition, the dependents and soft deletion; a legal hold keeps it.",
            "kept while",
        )


def _softly(terms: PolicyTerms, table: Table, using: str) -> Iterator[TermsProblem]:
    """What goes along is decided where the table is enabled, and not by the policy."""
    if terms.table.schema == HISTORY:
        return
    enabled = Enabled(using=using)
    if enabled.of(table) is None:
        # Files may come before the tables are enabled: `policy_check` tells of it.
        return
    along = {each.name for each in closure([table], enabled)}
    for name in terms.dependents:
        if name not in along:
            yield TermsProblem(
                f"Rows of {name} are to go along, and they do not go into the bin with those of "
                f"{table.name}.",
                "Take it off the dependents, or let it go along there: manage.py softdelete_enable "
                f"{table.name}",
                "go along",
            )


def _condition(terms: PolicyTerms, table: Table, using: str) -> Iterator[TermsProblem]:
    if terms.keep_condition is None:
        return
    try:
        check_condition(terms.keep_condition, table, using=using)
    except ConditionRefused as error:
        yield TermsProblem(str(error), "Write the condition anew.", "kept while")


def _dependents(terms: PolicyTerms, table: Table, read: ReadTable) -> Iterator[TermsProblem]:
    known: dict[TableName, Table] = {}
    for name in terms.dependents:
        try:
            known[name] = read(name)
        except CustodyError as error:
            yield TermsProblem(
                f"Rows of {name} are to go along. {error}",
                "Take it off the dependents.",
                "go along",
            )
    for name in sorted(known.keys() - _reached(table, known)):
        yield TermsProblem(
            f"{name} refers neither to {table.name} nor to another dependent.",
            "Take it off the dependents, or name the table between.",
            "go along",
        )


def _reached(table: Table, known: dict[TableName, Table]) -> set[TableName]:
    """The dependents that refer to the table, or to a dependent that does, and so on."""
    # A foreign key of one partition alone: its rows are the partitioned table's.
    owners = {leaf: name for name, each in known.items() for leaf in (name, *each.leaves)}
    reached: set[TableName] = set()
    looked_at = [table]
    while looked_at:
        referring = {owners.get(key.table) for key in looked_at.pop().referenced_by}
        new = {name for name in referring if name is not None} - reached
        reached |= new
        looked_at += [known[name] for name in new]
    return reached
