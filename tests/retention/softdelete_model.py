"""What soft delete has to do, in plain Python: random tables, and what becomes of their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import strategies as st

RULES = ("CASCADE",) * 3 + (
    "SET NULL",
    "SET NULL",
    "SET NULL (one)",
    "SET DEFAULT",
    "NO ACTION",
    "RESTRICT",
)
KINDS = ("plain", "composite", "partitioned")
Row = tuple[int, int]
"""Of a table, by its number, the row with this id. Row 0 refers to nothing and is never deleted."""
Reference = tuple[int, int]
"""By the key's number and the child's id."""


@dataclass(frozen=True)
class Key:
    child: int
    parent: int
    rule: str
    along: bool
    """The child's table is named among those that go along, or the rule cascades."""

    @property
    def hard(self) -> bool:
        return self.along or self.rule in ("NO ACTION", "RESTRICT")


@dataclass
class Severed:
    parent: Row
    reference: Reference
    was: int
    became: int | None


@dataclass
class World:
    kinds: list[str]
    keys: list[Key]
    refer: dict[Reference, int | None] = field(default_factory=dict)
    """What each row refers to, deleted ones too."""
    codes: dict[Row, int] = field(default_factory=dict)
    """Of every row there is, a value that is unique over the active ones."""
    deleted: dict[Row, int] = field(default_factory=dict)
    """The deletion that has it."""
    severed: list[Severed] = field(default_factory=list)
    held: dict[Row, str] = field(default_factory=dict)
    """The case of the hold."""

    # What is.

    def active(self) -> set[Row]:
        return set(self.codes) - set(self.deleted)

    def of(self, deletion: int) -> set[Row]:
        return {row for row, number in self.deleted.items() if number == deletion}

    def deletions(self) -> list[int]:
        return sorted(set(self.deleted.values()))

    def referring(self, rows: set[Row], within: set[Row]) -> Iterator[tuple[int, Row, Row]]:
        """Key, child, parent: the rows among `within` that refer to one of `rows`."""
        for (number, child), target in self.refer.items():
            key = self.keys[number]
            if target is not None and (key.child, child) in within and (key.parent, target) in rows:
                yield number, (key.child, child), (key.parent, target)

    def below(self, rows: set[Row], within: set[Row], *, hard: bool = False) -> set[Row]:
        """With them what hangs on them; `hard`: also what refers without going along."""
        found = set(rows)
        while True:
            more = {
                child
                for number, child, _ in self.referring(found, within)
                if self.keys[number].along or (hard and self.keys[number].hard)
            } - found
            if not more:
                return found
            found |= more

    def above_deleted(self) -> set[Row]:
        """Active rows that deleted ones cannot be without."""
        targets = {target for _, target in self._hard_targets(set(self.deleted))}
        return {row for row in targets - set(self.deleted) if row[1]}

    # Deleting.

    def refuses(self, root: Row) -> bool:
        active = self.active()
        goes = self.below({root}, active)
        stays = active - goes
        for number, child, _ in self.referring(goes, stays):
            key = self.keys[number]
            # What is held may not lose its reference.
            if key.hard or child in self.held:
                return True
            if key.rule == "SET DEFAULT" and (key.parent, 0) in goes:
                return True
        return False

    def delete(self, root: Row, deletion: int) -> None:
        active = self.active()
        goes = self.below({root}, active)
        for number, child, parent in list(self.referring(goes, active - goes)):
            self._sever(number, child, parent)
        self.deleted.update(dict.fromkeys(goes, deletion))

    def _sever(self, number: int, child: Row, parent: Row) -> None:
        became = 0 if self.keys[number].rule == "SET DEFAULT" else None
        self.severed.append(Severed(parent, (number, child[1]), parent[1], became))
        self.refer[number, child[1]] = became

    # Restoring.

    def chosen(self, deletion: int, rows: set[Row], *, below: bool, parents: bool) -> set[Row]:
        """Of a deletion's rows these, with what comes along."""
        own = self.of(deletion)
        found = self.below(rows, own) if below else set(rows)
        return self.with_parents(found, own, parents=parents)

    def with_parents(self, rows: set[Row], own: set[Row], *, parents: bool) -> set[Row]:
        found = set(rows)
        there = set(self.deleted) if parents else own
        while (
            more := {target for _, target in self._hard_targets(found) if target in there} - found
        ):
            found |= more
        return found

    def _hard_targets(self, rows: set[Row]) -> Iterator[tuple[Row, Row]]:
        for (number, child), target in self.refer.items():
            key = self.keys[number]
            if target is not None and key.hard and (key.child, child) in rows:
                yield (key.child, child), (key.parent, target)

    def conflicts(self, rows: set[Row]) -> tuple[set[Row], set[Row]]:
        """Rows whose code is taken; deleted rows that they refer to and that stay."""
        taken = {(row[0], self.codes[row]) for row in self.active()}
        return (
            {row for row in rows if (row[0], self.codes[row]) in taken},
            {t for _, t in self._hard_targets(rows) if t in self.deleted and t not in rows},
        )

    def doubled(self, rows: set[Row]) -> bool:
        """Two of them have the same code: they were deleted at different times."""
        codes = [(row[0], self.codes[row]) for row in rows]
        return len(set(codes)) < len(codes)

    def restore(self, rows: set[Row]) -> None:
        gone = set(self.deleted) - rows
        for number, child, parent in list(self.referring(gone, rows)):
            self._sever(number, child, parent)
        for row in rows:
            del self.deleted[row]
        latest = {each.reference: each for each in self.severed if each.parent in rows}
        for each in list(latest.values()):
            if self.refer[each.reference] == each.became:
                self.refer[each.reference] = each.was
        self.severed = [each for each in self.severed if each.parent not in rows]

    # Destroying.

    def keeping(self, rows: set[Row]) -> bool:
        """Something of them is held, or others refer to them."""
        others = set(self.codes) - rows
        return bool(rows & set(self.held)) or any(self.referring(rows, others))

    def purge(self, gone: set[Row]) -> None:
        for number, child, _ in list(self.referring(gone, set(self.codes) - gone)):
            assert not self.keys[number].hard, "A row was destroyed that another cannot be without."
            became = 0 if self.keys[number].rule == "SET DEFAULT" else None
            self.refer[number, child[1]] = became
        for row in gone:
            del self.codes[row], self.deleted[row]
        self.refer = {
            (number, child): target
            for (number, child), target in self.refer.items()
            if (self.keys[number].child, child) not in gone
        }
        self.severed = [
            each
            for each in self.severed
            if each.parent not in gone and each.reference in self.refer
        ]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    tables = draw(st.integers(2, 4))
    table = st.integers(0, tables - 1)
    pairs = [(n, draw(st.integers(0, n - 1))) for n in range(1, tables)]
    # Also to itself, back, and in circles.
    pairs += draw(st.lists(st.tuples(table, table), max_size=4))
    along = draw(st.sets(st.sampled_from(sorted(set(pairs))), max_size=1))
    keys = []
    for child, parent in pairs:
        rule = draw(st.sampled_from(RULES))
        keys.append(Key(child, parent, rule, rule == "CASCADE" or (child, parent) in along))
    world = World([draw(st.sampled_from(KINDS)) for _ in range(tables)], keys)
    for number in range(tables):
        for row in range(draw(st.integers(2, 5)) + 1):
            world.codes[number, row] = row
    for number, key in enumerate(keys):
        for child in [row for n, row in world.codes if n == key.child]:
            rows = [row for n, row in world.codes if n == key.parent]
            chosen = draw(st.sampled_from([None, *rows, *rows])) if child else None
            world.refer[number, child] = chosen
    return world
