"""`.env.example` tells of every variable that the console reads, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_READS = re.compile(
    r"(?:\benv(?:\.\w+)?|\bsecret|environ\.(?:get|setdefault|pop)|getenv)\(\s*\"([A-Z][A-Z0-9_]+)\""
    r"|environ\[\"([A-Z][A-Z0-9_]+)\"\]"
)
_DOCUMENTED = re.compile(r"^# ([A-Z][A-Z0-9_]+)=", re.MULTILINE)


def read_in_code() -> set[str]:
    folders = [ROOT / name for name in ("config", "operations", "retention")]
    texts = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
    return {
        name
        for text in [*texts, (ROOT / "manage.py").read_text()]
        for names in _READS.findall(text)
        for name in names
        if name
    }


def example() -> str:
    return (ROOT / ".env.example").read_text()


def test_every_variable_is_documented_once_and_no_other() -> None:
    documented = _DOCUMENTED.findall(example())
    assert sorted(documented) == sorted(read_in_code())


@pytest.mark.parametrize("name", _DOCUMENTED.findall((ROOT / ".env.example").read_text()))
def test_each_one_has_a_meaning_and_a_default(name: str) -> None:
    above = example().partition(f"\n# {name}=")[0]
    lines = []
    for line in reversed(above.splitlines()):
        if not line.startswith("# "):
            break
        lines.append(line)
    assert any(line.startswith("# Default: ") for line in lines)
    assert len(lines) >= 2


def test_copied_as_it_is_it_changes_nothing() -> None:
    assert all(line.startswith("#") for line in example().splitlines() if line.strip())
