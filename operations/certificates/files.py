"""The names of a certificate's files in the storage.

A certificate of a run has the run in its names, so that a second try finds what a killed one left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from operations.storage import Storage

_NAME = re.compile(
    r"certificates/(?P<number>C-\d{4}-(?P<counter>\d{6,}))(\.run-(?P<run>\d+))?\.(json|pdf)"
)


def certificate_number(*, year: int, counter: int) -> str:
    return f"C-{year:04}-{counter:06}"


def certificate_paths(number: str, run_id: int | None) -> tuple[str, str]:
    """The paths of the signed JSON and of the PDF."""
    stem = f"certificates/{number}" + (f".run-{run_id}" if run_id is not None else "")
    return f"{stem}.json", f"{stem}.pdf"


def is_number_used(store: Storage, number: str) -> bool:
    """Whether files with this number exist, of whatever run."""
    return any(number_of(path) == number for path in store.list(f"certificates/{number}."))


def leftovers(store: Storage, *, run_id: int, years: range) -> Iterator[str]:
    """Paths of all certificate files of a run."""
    for year in years:
        for path in store.list(f"certificates/C-{year:04}-"):
            if run_of(path) == run_id:
                yield path


def number_of(path: str) -> str | None:
    match = _NAME.fullmatch(path)
    return match["number"] if match else None


def counter_of(path: str) -> int | None:
    match = _NAME.fullmatch(path)
    return int(match["counter"]) if match else None


def run_of(path: str) -> int | None:
    match = _NAME.fullmatch(path)
    return int(match["run"]) if match and match["run"] else None
