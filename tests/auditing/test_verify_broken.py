"""What somebody took away so that queries fail is told in a sentence, not a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from auditing.models import SealPosition
from auditing.services.anchors import anchors_file
from auditing.services.audit_seal import audit_seal
from auditing.services.track import table_track

from .tampering import findings

pytestmark = pytest.mark.superuser
Execute = Callable[..., list[tuple[Any, ...]]]
OFF = "ALTER EVENT TRIGGER custody_audit_ddl DISABLE"
ALL_BLOCKS = "DELETE FROM custody.auditing_sealsection; DELETE FROM custody.auditing_sealblock"


@pytest.fixture(autouse=True)
def sealed(governed: str, execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total int)")
    table_track("app.orders", actor=person, reason="the law")
    with transaction.atomic():
        execute("SELECT custody.set_context('app:ann', 'because')")
        execute("INSERT INTO app.orders VALUES (1, 10), (2, 20)")
    audit_seal()
    execute("UPDATE app.orders SET total = 11 WHERE id = 1")
    audit_seal()
    assert findings() == []


@pytest.mark.parametrize(
    ("statements", "kind", "said"),
    [
        (
            [OFF, "ALTER TABLE history.app__orders RENAME TO gone"],
            "missing",
            "history.app__orders is not there any more: what was sealed of it is gone.",
        ),
        (
            [OFF, "ALTER TABLE history.app__orders RENAME client TO gone"],
            "missing",
            "history.app__orders has no column client any more",
        ),
        (
            [OFF, 'ALTER TABLE history.app__orders RENAME "2_total" TO gone'],
            "altered",
            "of app.orders 1 is not what was sealed in block",
        ),
        (
            [OFF, 'ALTER TABLE history.app__orders RENAME COLUMN "1_id" TO "1_x"'],
            "altered",
            "of app.orders",
        ),
        (
            [OFF, "DROP TRIGGER custody_audit_update ON app.orders"],
            "capture",
            "Triggers of app.orders are missing, off, or call something else.",
        ),
        (
            [OFF, "DROP FUNCTION history.app__orders_capture() CASCADE"],
            "capture",
            "Triggers of app.orders are missing, off, or call something else.",
        ),
        (
            [OFF],
            "capture",
            "The event trigger custody_audit_ddl is missing or off: tables whose columns change",
        ),
        (
            [OFF, "DROP TABLE app.orders"],
            "capture",
            "app.orders was dropped, and its audit was not ended.",
        ),
        (
            ["ALTER TABLE custody.auditing_changecontext RENAME COLUMN reason TO hidden"],
            "altered",
            "is not what was sealed",
        ),
        (
            ["ALTER TABLE custody.auditing_changestatement RENAME TO hidden"],
            "missing",
            "custody.auditing_changestatement is not there any more: what was sealed of it is",
        ),
        (
            ["ALTER FUNCTION custody.audit_snapshot() RENAME TO hidden"],
            "altered",
            "What was sealed of app.orders cannot be read: function custody.audit_snapshot() does",
        ),
        (
            ["ALTER TABLE custody.auditing_sealsection RENAME TO hidden"],
            "chain",
            'The chain of blocks cannot be read: relation "auditing_sealsection" does not exist',
        ),
        (
            ["UPDATE custody.auditing_sealblock SET header = 'x'"],
            "chain",
            "The header of block 1 was altered",
        ),
        (
            ["UPDATE custody.auditing_sealsection SET ids = '{}', hashes = ''"],
            "chain",
            "Block 1: its sections are not those of its header",
        ),
        (
            ["UPDATE custody.auditing_sealsection SET last = last + 1 WHERE form = 'version'"],
            "chain",
            "where its sections begin and end was altered.",
        ),
        (
            ["UPDATE custody.auditing_sealposition SET chain = gen_random_uuid()"],
            "anchor",
            "The log was begun anew: block 2 of another chain was anchored at",
        ),
        (
            [*ALL_BLOCKS.split("; "), "DELETE FROM custody.auditing_sealposition"],
            "anchor",
            "The log was begun anew: block 2 of another chain was anchored at",
        ),
        (
            ALL_BLOCKS.split("; "),
            "anchor",
            "The database was rewound: block 2",
        ),
    ],
)  # fmt: skip
def test_it_is_a_sentence(execute: Execute, statements: list[str], kind: str, said: str) -> None:
    try:
        for statement in statements:
            execute(statement)
        found = findings()
    finally:
        execute("ALTER EVENT TRIGGER custody_audit_ddl ENABLE")
        for statement in statements:
            # What the other tests need too was only given another name.
            if " TO hidden" in statement:
                execute(_named_again(statement))
    assert [each for each in found if each.kind == kind and said in each.text], found


def _named_again(statement: str) -> str:
    renamed = re.fullmatch(
        r"ALTER (TABLE|FUNCTION) custody\.(\w+)(\(\))? RENAME (?:COLUMN (\w+) )?TO hidden",
        statement,
    )
    assert renamed
    kind, name, arguments, column = renamed.groups(default="")
    if column:
        return f"ALTER TABLE custody.{name} RENAME COLUMN hidden TO {column}"
    return f"ALTER {kind} custody.hidden{arguments} RENAME TO {name}"


def test_a_log_that_was_thrown_away_and_sealed_anew_is_told(execute: Execute) -> None:
    old = SealPosition.objects.get().chain
    for statement in ALL_BLOCKS.split("; "):
        execute(statement)
    execute("DELETE FROM custody.auditing_sealposition")
    audit_seal()
    assert SealPosition.objects.get().chain != old
    [found] = [each for each in findings() if each.kind == "anchor"]
    assert str(anchors_file(old)) in found.text
    aside = Path(anchors_file(old))
    aside.rename(aside.with_suffix(".aside"))
    assert [each for each in findings() if each.kind == "anchor"] == []
