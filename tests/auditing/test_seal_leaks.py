"""After a key leaked, blocks are believed as far as older anchors reach."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from auditing.models import SealBlock
from auditing.services.anchors import anchors_file
from auditing.services.audit_seal import audit_seal
from auditing.services.seal_leaks import seal_leaks
from auditing.services.track import table_track
from auditing.services.verify_chain import blocks_verify
from operations.models import SigningKey
from operations.services.key_rotate import key_compromised

pytestmark = pytest.mark.usefixtures("governed")
Execute = Callable[..., list[tuple[Any, ...]]]


def doubted() -> list[str]:
    found = blocks_verify(0, None, using="default")
    return [each.text.partition(" on the key ")[0] for each in found.findings]


def test_what_an_older_anchor_names_is_believed_and_what_came_between_is_named(
    execute: Execute, person: User
) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY)")
    table_track("app.orders", actor=person, reason="the law")
    audit_seal()
    assert doubted() == []
    # Anchors tell their time in whole seconds.
    time.sleep(1.1)
    since = timezone.now()
    execute("INSERT INTO app.orders VALUES (1)")
    audit_seal()
    leaked = SigningKey.objects.get()
    key_compromised(key=leaked, since=since, reason="a laptop was stolen")
    execute("INSERT INTO app.orders VALUES (2)")
    audit_seal()
    assert SealBlock.objects.count() == 3
    assert seal_leaks()[leaked.key_id].sure == 1
    assert doubted() == ["Block 2 rests"], "sealed by the leaked key, after the leak"
    key_compromised(key=leaked, since=since - timedelta(days=1), reason="it was earlier")
    assert doubted() == ["Blocks 1 to 2 rest"]
    chain = SealBlock.objects.get(pk=1).header.partition('"chain":"')[2][:36]
    anchors_file(chain).unlink()
    assert doubted()[-1] == "Blocks 1 to 2 rest", "without anchors nothing is older"
