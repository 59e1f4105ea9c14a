"""From what PostgreSQL tallied, in one pass or for each sampled page, to amounts of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from retention.selectors.preview_amounts import Amount, counted, estimated
from retention.selectors.preview_pass import Look

Method = Literal["counted", "sampled", "planned"]
Kind = Literal[
    "bound", "ageless", "future", "young", "past", "kept", "undecided", "held", "referenced", "due"
]
KINDS: tuple[Kind, ...] = (
    "ageless", "future", "young", "past", "kept", "undecided", "held", "referenced", "due"
)  # fmt: skip


@dataclass(frozen=True)
class Tally:
    """What `tallies` selects, in its order."""

    all: int
    ageless: int
    future: int
    past: int
    kept: int
    undecided: int
    held: int
    referenced: int
    cases: tuple[int, ...]

    @classmethod
    def of(cls, row: Sequence[int]) -> Tally:
        """A row that starts with what `tallies` selects."""
        names = [field.name for field in fields(cls)][:-1]
        single = dict(zip(names, row, strict=False))
        return cls(**single, cases=tuple(row[len(names) :]))

    @property
    def young(self) -> int:
        return self.all - self.ageless - self.future - self.past

    @property
    def due(self) -> int:
        return self.past - self.kept - self.undecided - self.held - self.referenced

    def __getitem__(self, kind: Kind) -> int:
        number: int = getattr(self, kind)
        return number


@dataclass(frozen=True)
class Ages:
    """As PostgreSQL prints them; empty without rows."""

    oldest: str = ""
    """Of the due rows; of a sample, of those in it."""
    newest: str = ""
    latest: str = ""
    """Of all rows."""

    @classmethod
    def of(cls, *texts: str | None) -> Ages:
        return cls(*(text or "" for text in texts))


@dataclass(frozen=True)
class Counts:
    """What one look at the table came to."""

    method: Method
    amounts: Mapping[Kind, Amount]
    """A kind that could not be told apart is missing."""
    total: Amount
    """Rows of the table."""
    held_by: tuple[tuple[str, Amount], ...]
    """By case; a row that several cases hold counts for each."""
    row_bytes: float | None
    """What a due row takes on average, with its TOAST; None when none was looked at."""
    ages: Ages = Ages()
    pages: int = 0
    """Pages in the sample that have rows."""
    seconds: float = 0.0
    """That the sample took."""

    def __getitem__(self, kind: Kind) -> Amount:
        return self.amounts[kind]

    def get(self, kind: Kind) -> Amount | None:
        return self.amounts.get(kind)

    def with_due(self, number: int, oldest: str | None, newest: str | None) -> Counts:
        """As counted with all others, when those that are referred to were told apart later."""
        referenced = self["due"].value - number
        amounts = {**self.amounts, "due": counted(number), "referenced": counted(referenced)}
        ages = Ages.of(oldest, newest, self.ages.latest)
        return replace(self, amounts=amounts, ages=ages)

    def with_bound(self, number: int) -> Counts:
        """So many of the due rows stay because something that would go along with them does."""
        amounts = dict(self.amounts)
        amounts["bound"] = counted(number)
        amounts["due"] = Amount(*(max(each - number, 0) for each in self["due"].bounds))
        return replace(self, amounts=amounts)

    def without_referenced(self) -> Counts:
        """Those that are referred to could not be told apart: they count as due."""
        amounts = dict(self.amounts)
        amounts.pop("referenced", None)
        return replace(self, amounts=amounts)

    def like(self, sample: Counts) -> Counts:
        """What was counted; due and still referred to as the sample estimates them."""
        if "referenced" not in sample.amounts:
            return self.without_referenced()
        ages = replace(sample.ages, latest=self.ages.latest)
        amounts = dict(self.amounts)
        amounts["due"], amounts["referenced"] = sample["due"], sample["referenced"]
        return replace(self, method="sampled", amounts=amounts, ages=ages, pages=sample.pages)


def from_tally(
    look: Look,
    tally: Tally,
    ages: Ages,
    *,
    row_bytes: float | None,
    total: Amount | None = None,
) -> Counts:
    """Everything was counted.

    Args:
        total: rows of the table, when the young ones were left out.
    """
    amounts = {kind: counted(tally[kind]) for kind in KINDS}
    if total is not None:
        seen = tally.all
        amounts["young"] = Amount(
            max(total.value - seen, 0), max(total.low - seen, 0), max(total.high - seen, 0)
        )
    return Counts(
        method="counted",
        amounts=amounts,
        total=total or counted(tally.all),
        held_by=_by_case(look, [counted(number) for number in tally.cases]),
        row_bytes=float(row_bytes) if row_bytes is not None else None,
        ages=ages,
    )


def from_page_tallies(
    look: Look,
    pages: Sequence[tuple[Tally, Any]],
    ages: Ages,
    *,
    share: float,
    seconds: float,
) -> Counts:
    """Each page was sampled with the probability `share`; beside its tally, a due row's bytes."""
    typical = sum(tally.all for tally, _ in pages) / len(pages) if pages else 1.0

    def scaled(numbers: Iterable[int]) -> Amount:
        listed = list(numbers)
        return estimated(listed, share=share, seen=sum(listed), typical=typical)

    impossible = look.impossible
    amounts: dict[Kind, Amount] = {
        kind: counted(0) if kind in impossible else scaled(tally[kind] for tally, _ in pages)
        for kind in KINDS
    }
    due = [(tally.due, float(width)) for tally, width in pages if width is not None]
    bytes_ = sum(rows * width for rows, width in due)
    found = Counts(
        method="sampled",
        amounts=amounts,
        total=scaled(tally.all for tally, _ in pages),
        held_by=_by_case(
            look,
            [scaled(tally.cases[n] for tally, _ in pages) for n in range(len(look.cases))],
        ),
        row_bytes=bytes_ / rows if (rows := sum(rows for rows, _ in due)) else None,
        ages=ages,
        pages=len(pages),
        seconds=seconds,
    )
    untold = not look.references and "referenced" not in impossible
    return found.without_referenced() if untold else found


def planned(look: Look, rows: int) -> Counts:
    """PostgreSQL's planner guesses; nobody knows how well."""
    most = max(look.table.estimated_rows, rows, 1)
    return Counts(
        method="planned",
        amounts={"due": Amount(rows, 0, most)},
        total=Amount(most, 0, most * 2),
        held_by=_by_case(look, [Amount(0, 0, most) for _ in look.cases]),
        row_bytes=None,
    )


def _by_case(look: Look, amounts: Sequence[Amount]) -> tuple[tuple[str, Amount], ...]:
    return tuple(zip((case.by for case in look.cases), amounts, strict=True))
