"""The sealer: what committed is in exactly one block, and the blocks make one signed chain."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.contrib.auth.models import User
from django.db import transaction

from auditing.models import SealBlock, SealPosition, SealSection
from auditing.seals import merkle
from auditing.seals.headers import FIRST, header_read
from auditing.services.anchors import anchors
from auditing.services.audit_seal import audit_seal
from auditing.services.audit_verify import audit_verify_start
from auditing.services.baseline import baseline_run
from auditing.services.track import table_track
from operations.models import SigningKey
from operations.services.run_to_end import run_to_end

from .sealing import chain_holds, leaves_fit

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Execute = Callable[..., list[tuple[Any, ...]]]


def sealed(source: str) -> Counter[int]:
    """How often each number of a source is in a block."""
    found: Counter[int] = Counter()
    for section in SealSection.objects.filter(source=source):
        found.update(section.ids)
    return found


def numbers(execute: Execute, source: str, column: str = "seq") -> Counter[int]:
    return Counter(n for (n,) in execute(f"SELECT {column} FROM {source}"))


@pytest.fixture
def orders(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.orders (id int PRIMARY KEY, total numeric(10,2), note text, at date)")
    table_track("app.orders", actor=person, reason="the law")


def test_everything_that_committed_is_sealed_once_and_nothing_is_left_to_seal(
    execute: Execute, orders: None
) -> None:
    execute("INSERT INTO app.orders SELECT n, n, 'a', now() FROM generate_series(1, 40000) n")
    execute("UPDATE app.orders SET note = E'b\\t\\\\\\n' WHERE id <= 100")
    execute("UPDATE app.orders SET id = id + 100000 WHERE id <= 5")
    execute("DELETE FROM app.orders WHERE id BETWEEN 10 AND 20")
    first = audit_seal()
    assert first.leaves > 40_000
    assert sealed("history.app__orders") == numbers(execute, "history.app__orders")
    assert set(sealed("history.app__orders").values()) == {1}
    for table, key in (
        ("auditing_changestatement", "id"),
        ("auditing_changetransaction", "xid"),
        ("auditing_auditevent", "id"),
    ):
        assert sealed(f"custody.{table}") == numbers(execute, f"custody.{table}", key)
    assert audit_seal().blocks == 0, "the sealer does not feed itself"
    execute("INSERT INTO app.orders VALUES (1, 1)")
    assert audit_seal().blocks == 1
    assert sealed("history.app__orders") == numbers(execute, "history.app__orders")


def test_blocks_are_a_chain_that_anybody_with_the_key_can_follow(
    execute: Execute, orders: None
) -> None:
    for n in range(3):
        execute(f"INSERT INTO app.orders VALUES ({n}, 1.50)")
        audit_seal()
    previous = FIRST
    keys = {key.key_id: key.public_key for key in SigningKey.objects.all()}
    for number, block in enumerate(SealBlock.objects.order_by("number"), 1):
        header = header_read(block.header)
        assert (header.number, header.previous, block.hash) == (number, previous, header.hash)
        leaves = [leaf for section in block.sections.all() for leaf in merkle.split(section.hashes)]
        assert merkle.root(leaves).hex() == header.root
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(keys[block.key_id]))
        public.verify(base64.b64decode(block.signature), header.signed)
        previous = header.hash
    told = [(each.anchor.number, each.anchor.hash) for each in anchors(position().chain)]
    assert told == list(SealBlock.objects.order_by("number").values_list("number", "hash"))


def position() -> SealPosition:
    return SealPosition.objects.get()


def test_a_transaction_open_for_long_delays_only_itself(
    execute: Execute, orders: None, other_session: Callable[[], psycopg.Connection[Any]]
) -> None:
    other = other_session()
    other.autocommit = False
    other.execute("INSERT INTO app.orders VALUES (1, 1)")
    execute("INSERT INTO app.orders VALUES (2, 2)")
    audit_seal()
    assert len(sealed("history.app__orders")) == 1
    execute("INSERT INTO app.orders VALUES (3, 3)")
    audit_seal()
    assert len(sealed("history.app__orders")) == 2
    other.execute("INSERT INTO app.orders VALUES (4, 4)")
    other.commit()
    audit_seal()
    assert sealed("history.app__orders") == numbers(execute, "history.app__orders")


def test_tables_captured_row_by_row_are_sealed_whole(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.parent (id int PRIMARY KEY, name text)")
    execute("CREATE TABLE app.child (extra int, PRIMARY KEY (id)) INHERITS (app.parent)")
    table_track("app.parent", actor=person, reason="the law")
    execute("INSERT INTO app.parent SELECT n, 'x' FROM generate_series(1, 500) n")
    execute("UPDATE app.parent SET name = 'y'")
    audit_seal()
    found = numbers(execute, "history.app__parent")
    assert found.total() == 1000
    assert sealed("history.app__parent") == found


def test_images_of_a_baseline_are_sealed_while_it_goes_on(execute: Execute, person: User) -> None:
    execute("CREATE TABLE app.people (id int PRIMARY KEY, name text)")
    execute("INSERT INTO app.people SELECT n, 'x' FROM generate_series(1, 30000) n")
    tracked = table_track("app.people", actor=person, reason="the law")
    execute("UPDATE app.people SET name = 'y' WHERE id <= 10")
    audit_seal()
    baseline_run(tracked, requester=person)
    audit_seal()
    found = numbers(execute, "history.app__people")
    assert sealed("history.app__people") == found
    assert found.total() == 30_010
    images = SealSection.objects.filter(form="image")
    assert len({tag for section in images for tag in section.tags or []}) == 30_000


def test_not_within_a_transaction(execute: Execute, orders: None) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        audit_seal()


def test_the_last_block_of_a_pass_says_so_even_when_nothing_was_left_for_it(
    execute: Execute, orders: None, monkeypatch: pytest.MonkeyPatch, person: User
) -> None:
    for leaves in (1, 2, 3):
        monkeypatch.setattr("auditing.services.audit_seal.MOST", leaves)
        execute(f"INSERT INTO app.orders SELECT {leaves} * 10 + n, 1 FROM generate_series(1, 2) n")
        audit_seal()
        assert chain_holds() > leaves
    assert audit_seal().blocks == 0, "an end that was told is not told again"
    leaves_fit()
    run = run_to_end(run=audit_verify_start(requester=person))
    assert run.result
    assert run.result["findings"] == 0


def test_a_header_that_was_altered_keeps_nothing_from_being_sealed(
    execute: Execute, orders: None
) -> None:
    execute("INSERT INTO app.orders VALUES (1, 1)")
    last = audit_seal().last
    SealBlock.objects.filter(pk=last).update(header="altered")
    # A transaction that leaves nothing to seal.
    execute("CREATE TABLE app.other (id int)")
    audit_seal()
    execute("INSERT INTO app.orders VALUES (2, 2)")
    assert audit_seal().leaves > 0
    assert sealed("history.app__orders") == numbers(execute, "history.app__orders")
