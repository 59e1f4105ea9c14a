"""How long the random tests look for a counterexample: CUSTODY_TEST_EFFORT times as long as usual.

Without it their examples are the same each time, so that a change is judged by the same tests
before and after; with it they are others each time, so what one run does not try, another does.

On the older server it is fewer of the same examples: what is another server's fault any may show.
Of a test of several parameters each value is tried there, and not each with each; into how many
steps the same rows are cut (a fixture `sizes`) is the same there.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

_GIVEN = "CUSTODY_TEST_EFFORT" in os.environ
_OLDER = "CUSTODY_TEST_POSTGRES" in os.environ
_USUAL = "0.25" if _OLDER else "1"
_EFFORT = float(os.environ.get("CUSTODY_TEST_EFFORT", _USUAL))


def examples(usual: int, *, least: int = 1) -> int:
    """`least`: with fewer, nothing of what is looked for would ever happen."""
    return max(least, round(usual * _EFFORT))


def repeatable() -> None:
    """Fixes the examples of every random test, unless somebody asked for others."""
    settings.register_profile("custody", derandomize=not _GIVEN)
    settings.load_profile("custody")


def leave_out_combinations(items: list[pytest.Item]) -> None:
    """On the older server: items whose values are all in items before them."""
    if not _OLDER or _GIVEN:
        return
    tried: dict[str, set[tuple[str, str]]] = {}
    kept = []
    sizes: dict[str, str] = {}
    for item in items:
        values = getattr(item, "callspec", None) and item.callspec.params  # type: ignore[attr-defined]
        if values and "sizes" in values:
            first = sizes.setdefault(str(item.path), repr(values["sizes"]))
            if repr(values["sizes"]) != first:
                continue
        if values and len(values) > 1:
            before = tried.setdefault(item.nodeid.partition("[")[0], set())
            now = {(name, repr(value)) for name, value in values.items()}
            if now <= before:
                continue
            before |= now
        kept.append(item)
    items[:] = kept
