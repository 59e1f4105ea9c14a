"""manage.py hold_place, hold_release, hold_list, hold_show, hold_review."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from retention.models import HeldRow, LegalHold

from .holding import officer, place
from .purging import make_events, make_policy

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]
PASSWORD = "another long password"


@pytest.fixture(autouse=True)
def events(governed: str, execute: Execute) -> None:
    make_events(execute, due=20, fresh=0, ageless=0)
    officer("ada")
    officer("grace", password=PASSWORD)


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What stands on standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def told(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def document(name: str, *arguments: str) -> Any:
    return json.loads(told(name, *arguments, "--json"))


def refused(name: str, *arguments: str, code: int) -> str:
    with pytest.raises(CommandError) as error:
        told(name, *arguments)
    assert error.value.returncode == code, error.value
    return str(error.value)


def test_a_hold_is_placed_shown_listed_reviewed_and_released(types: Callable[[str], None]) -> None:
    make_policy()
    by = ("--user", "ada", "--reason", "The court asked.")
    assert told("hold_place", "2031-17", "--table", "events", "--row", "1", "--row", "2", *by) == (
        "The hold 2031-17 is placed. It holds app.events: 2 rows.\n"
    )
    added = document("hold_place", "2031-17", "--table", "events", "--where", "id > 15", *by)
    assert added["covers"] == {
        "table": "app.events",
        "kind": "condition",
        "rows": 5,
        "estimated": False,
        "missing": 0,
    }
    assert added["added"]
    [listed] = document("hold_list")["holds"]
    assert listed == added["hold"]
    assert [(s["kind"], s["condition"], s["added_by"]) for s in listed["scopes"]] == [
        ("rows", None, "ada"),
        ("condition", "id > 15", "ada"),
    ]
    assert "named rows of app.events; rows of app.events where id > 15" in told("hold_list")
    assert [h["case_id"] for h in document("hold_list", "--record", "events", "16")["holds"]] == [
        "2031-17"
    ]
    assert told("hold_list", "--record", "events", "3") == "No holds.\n"
    assert told("hold_list", "--table", "orders") == "No holds.\n"
    shown = document("hold_show", "2031-17")
    assert [scope["now"] for scope in shown["hold"]["scopes"]] == [
        {"named": 2, "trouble": "", "rows": 2, "estimated": False},
        {"named": None, "trouble": "", "rows": 5, "estimated": False},
    ]
    next_on = f"{timezone.localdate().year + 1}-06-30"
    reviewed = document("hold_review", "2031-17", "--next", next_on, *by)
    assert reviewed["hold"]["review_on"] == next_on
    assert [entry["by"] for entry in document("hold_show", "2031-17")["history"]] == ["ada"] * 3

    what_if = document("hold_release", "2031-17", "--dry-run")
    assert what_if["becomes_due"] == [
        {"policy": "events", "table": "app.events", "rows": 7, "estimated": False}
    ]
    types(f"{PASSWORD}\n")
    out = told("hold_release", "2031-17", "--user", "grace", "--reason", "Settled.")
    assert out == (
        "The hold 2031-17 is released.\n"
        "7 rows of app.events become due by policy events: nothing but this hold keeps them.\n"
    )
    assert told("hold_list") == "No holds.\n"
    assert document("hold_list", "--all")["holds"][0]["release_reason"] == "Settled."
    assert "was released on" in refused("hold_release", "2031-17", "--dry-run", code=3)


def test_a_release_wants_another_person_with_a_password(types: Callable[[str], None]) -> None:
    place("2031-17")
    why = ("--reason", "Settled.")
    assert "Who decides?" in refused("hold_release", "2031-17", *why, code=2)
    assert "Say why" in refused("hold_release", "2031-17", "--user", "grace", code=2)
    nobody = refused("hold_release", "2031-17", "--user", "grace", "--no-input", *why, code=3)
    assert "A person has to decide" in nobody
    types("wrong\n")
    assert "not the password" in refused("hold_release", "2031-17", "--user", "grace", *why, code=3)
    ada = officer("ada")
    ada.set_password(PASSWORD)
    ada.save()
    types(f"{PASSWORD}\n")
    own = refused("hold_release", "2031-17", "--user", "ada", *why, code=3)
    assert "ada placed the hold 2031-17 or a part of it: another person has to release it." in own
    assert LegalHold.objects.get().active


def test_keys_come_from_a_file_or_standard_input(
    tmp_path: Path, types: Callable[[str], None]
) -> None:
    by = ("--user", "ada", "--reason", "The court asked.")
    keys = tmp_path / "keys"
    keys.write_text("1\n2\n\n77\n")
    lines = ("hold_place", "2031-17", "--table", "events", "--rows-from")
    assert "1 of the named rows are not in app.events: 77." in refused(
        *lines, str(keys), *by, code=3
    )
    assert "1 of the named rows" in refused(*lines, str(keys), "--dry-run", code=3)
    assert told(*lines, str(keys), "--missing-ok", "--dry-run") == (
        "Would hold app.events: 2 rows, and 1 keys without a row.\nNothing was changed.\n"
    )
    assert not LegalHold.objects.exists()
    told(*lines, str(keys), "--missing-ok", *by)
    assert HeldRow.objects.count() == 3
    types("4\n5\n")
    told(*lines, "-", *by)
    assert HeldRow.objects.count() == 5
    assert "cannot be read" in refused(*lines, str(tmp_path / "none"), *by, code=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--table", "nowhere"), "There is no table nowhere."),
        (("--table", "events", "--where", "pg_sleep(9) = 1"), "Condition refused"),
        (("--table", "events", "--row", "x"), "invalid input syntax for type bigint"),
        (("--table", "events", "--review", "soon"), "'soon' is no day"),
        (("--table", "events", "--reason", " "), "Say why: --reason TEXT."),
    ],
)
def test_wrong_usage_says_what_to_write(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("hold_place", "2031-17", *arguments, code=2)
    assert not LegalHold.objects.exists()


def test_a_case_that_has_no_hold_is_wrong_usage() -> None:
    place("2031-17")
    for name, more in (
        ("hold_show", ()),
        ("hold_release", ("--dry-run",)),
        ("hold_review", ("--next", "2040-01-01", "--reason", "x")),
    ):
        said = refused(name, "2031-71", *more, code=2)
        assert said == "There is no hold for a case '2031-71'. Active ones: 2031-17."
