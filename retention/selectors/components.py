"""Strongly connected components, children first.

Source: R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972).
"""

from __future__ import annotations

from collections.abc import Iterable


def components_of(size: int, bonds: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """The numbers below `size` in groups: those that lead to each other are together.

    Args:
        bonds: (child, parent). A group comes before every other that it leads to, so children
            come before their parents; 0, to which all lead, comes last.
    """
    parents: list[set[int]] = [set() for _ in range(size)]
    for child, parent in bonds:
        parents[child].add(parent)
    # Tarjan's order is the other way round: what is led to comes first.
    return tuple(reversed(_Search(parents).groups))


class _Search:
    def __init__(self, following: list[set[int]]) -> None:
        self.groups: list[tuple[int, ...]] = []
        self._following = following
        self._index: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self._stack: list[int] = []
        for number in range(len(following)):
            if number not in self._index:
                self._visit(number)

    def _visit(self, number: int) -> None:
        # As deep as there are tables, and no deeper.
        self._index[number] = self._low[number] = len(self._index)
        self._stack.append(number)
        for other in sorted(self._following[number]):
            if other not in self._index:
                self._visit(other)
                self._low[number] = min(self._low[number], self._low[other])
            elif other in self._stack:
                self._low[number] = min(self._low[number], self._index[other])
        if self._low[number] == self._index[number]:
            place = self._stack.index(number)
            self.groups.append(tuple(sorted(self._stack[place:])))
            del self._stack[place:]
