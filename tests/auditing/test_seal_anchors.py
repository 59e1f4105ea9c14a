"""Anchors: a database that was put back is noticed, and goes on when somebody says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from auditing.exceptions import AnchorUnusable, Rewound
from auditing.models import SealBlock, SealPosition, SealSection
from auditing.seals.headers import Anchor
from auditing.services.anchors import (
    anchor_last,
    anchors,
    anchors_file,
    anchors_stored,
    rewind_accept,
)
from auditing.services.audit_seal import ALERT, audit_seal, audit_seal_beat
from auditing.services.track import table_track
from operations import keys
from operations.models import Alert

pytestmark = [pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


def chain() -> object:
    return SealPosition.objects.get().chain


def rewind(blocks: int) -> None:
    """As a restored backup would: the last blocks were never there."""
    last = SealBlock.objects.order_by("-number")[:blocks]
    SealSection.objects.filter(block__in=[each.pk for each in last]).delete()
    SealBlock.objects.filter(pk__in=[each.pk for each in last]).delete()


@pytest.fixture
def three(execute: Execute, person: User) -> None:
    """Three blocks."""
    execute("CREATE TABLE app.orders (id int PRIMARY KEY)")
    table_track("app.orders", actor=person, reason="the law")
    for n in range(3):
        execute(f"INSERT INTO app.orders VALUES ({n})")
        audit_seal()


def test_each_pass_leaves_a_signed_line_and_the_storage_has_one_an_hour(three: None) -> None:
    lines = list(anchors(chain()))
    assert [line.anchor.number for line in lines] == [1, 2, 3]
    for line in lines:
        assert keys.verify(line.anchor.signed, line.signature, line.anchor.key_id)
        block = SealBlock.objects.get(pk=line.anchor.number)
        assert line.anchor.hash == block.hash
    assert [line.anchor for line in anchors_stored(chain())] == [lines[0].anchor]


def test_nothing_is_sealed_on_a_database_that_was_rewound(
    three: None, execute: Execute, person: User
) -> None:
    rewind(2)
    execute("INSERT INTO app.orders VALUES (9)")
    with pytest.raises(Rewound, match=r"Block 3 was anchored .* ends with block 1"):
        audit_seal()
    assert SealBlock.objects.count() == 1
    audit_seal_beat()
    alert = Alert.objects.get(key=ALERT, resolved_at=None)
    assert "--accept-rewind" in alert.remedy


def test_whoever_restored_it_says_so_and_the_log_goes_on(
    three: None, execute: Execute, person: User
) -> None:
    rewind(2)
    told = rewind_accept(actor=person, reason="restored after the fire")
    assert told is not None
    assert (told.kind, told.number, told.reason) == ("rewound", 1, "restored after the fire")
    assert rewind_accept(actor=person, reason="again") is None
    SealPosition.objects.update(snapshot="")
    execute("INSERT INTO app.orders VALUES (9)")
    audit_seal_beat()
    assert not Alert.objects.filter(key=ALERT, resolved_at=None).exists()
    kinds = [(line.anchor.kind, line.anchor.number) for line in anchors(chain())]
    assert kinds == [("block", 1), ("block", 2), ("block", 3), ("rewound", 1), ("block", 2)]


def test_another_block_of_an_anchored_number_is_noticed(three: None) -> None:
    SealBlock.objects.filter(pk=3).update(hash="0" * 64)
    with pytest.raises(Rewound, match="another block of that number"):
        audit_seal()


def test_a_line_that_a_dying_machine_began_counts_for_nothing(
    three: None, execute: Execute
) -> None:
    path = anchors_file(chain())
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    last = anchor_last(chain())
    assert last is not None
    assert last.anchor.number == 2
    audit_seal()
    assert [line.anchor.number for line in anchors(chain())] == [1, 2, 3]


def test_a_line_that_is_none_is_told(three: None, execute: Execute) -> None:
    path = anchors_file(chain())
    path.write_bytes(path.read_bytes() + b"{}\n")
    execute("INSERT INTO app.orders VALUES (9)")
    with pytest.raises(AnchorUnusable, match="is no anchor"):
        audit_seal()
    assert SealBlock.objects.count() == 4


def test_a_folder_that_takes_nothing_is_an_alert_and_all_is_sealed(
    three: None, execute: Execute, settings: Any
) -> None:
    settings.CUSTODY_ANCHORS = anchors_file(chain())
    execute("INSERT INTO app.orders VALUES (9)")
    audit_seal_beat()
    assert SealBlock.objects.count() == 4
    alert = Alert.objects.get(key=ALERT, resolved_at=None)
    assert "not anchored" in alert.summary
    assert "CUSTODY_ANCHORS" in alert.remedy


def test_the_command_says_what_it_sealed(
    three: None, execute: Execute, capsys: pytest.CaptureFixture[str]
) -> None:
    execute("INSERT INTO app.orders VALUES (9)")
    call_command("audit_seal", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "sealed": {"blocks": 1, "leaves": 3, "last_block": 4}
    }
    call_command("audit_seal")
    assert "Everything was sealed already; the last block is 4." in capsys.readouterr().out
    rewind(1)
    with pytest.raises(CommandError, match="rewound") as refused:
        call_command("audit_seal")
    assert refused.value.returncode == 3
    with pytest.raises(CommandError, match="--reason") as wrong:
        call_command("audit_seal", "--accept-rewind")
    assert wrong.value.returncode == 2
    call_command("audit_seal", "--accept-rewind", "--reason", "a drill")
    assert "The log goes on from block 3." in capsys.readouterr().out


def test_an_anchor_of_a_rewind_cannot_be_given_another_reason(three: None, person: User) -> None:
    rewind(1)
    told = rewind_accept(actor=person, reason="a drill")
    last = anchor_last(chain())
    assert told is not None
    assert last is not None
    other = Anchor(**{**vars(told), "reason": "none of your business"})
    assert keys.verify(told.signed, last.signature, told.key_id)
    assert not keys.verify(other.signed, last.signature, told.key_id)
