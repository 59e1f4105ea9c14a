"""How long the random tests look for a counterexample: CUSTODY_TEST_EFFORT times as long as usual.

Their examples are others each time, so what one run does not try, another does.
"""

from __future__ import annotations

import os

_EFFORT = float(os.environ.get("CUSTODY_TEST_EFFORT", "1"))


def examples(usual: int) -> int:
    return max(1, round(usual * _EFFORT))
