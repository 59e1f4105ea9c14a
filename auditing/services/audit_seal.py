"""The sealer: what has become visible since the last time is hashed, chained, signed and anchored.

Invariants:
- A row is sealed by exactly one pass: what the snapshot of this pass sees and that of the last one
  did not. A transaction that stays open for hours delays its own rows and no others.
- A block is made in the transaction that moves the position: whoever is killed, the next caller
  goes on where it stood.
- Nothing is sealed on top of a database that was rewound behind its last anchor.

Until a row is sealed, only the rights of the roles protect it.

Source: PostgreSQL's manual, 9.27.11 "Transaction ID and Snapshot Information Functions"; RFC 6962;
RFC 8032.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import OperationalError, connections, transaction
from django.utils import timezone
from psycopg import errors

from auditing.exceptions import AnchorUnusable, Rewound
from auditing.models import SealBlock, SealPosition, SealSection, SummaryPosition
from auditing.seals import merkle
from auditing.seals.headers import FIRST, Header, header_read
from auditing.selectors.verify_sections import section_head
from auditing.services.anchors import anchor_last, anchor_write, rewind_check
from auditing.services.seal_plan import Between, between, seal_plan
from auditing.services.seal_sections import MOST, Draft, seal_sections
from auditing.services.statement_summarise import PATIENCE, statement_summarise
from operations import keys
from operations.certificates.canonical import NotCanonical
from operations.exceptions import CustodyError
from operations.services.alerts import alert_raise, alert_resolve
from operations.session import set_local

AUDIT_SEAL = "auditing.audit_seal"

LOCK = 0x6375_7374_0005
"""Of the advisory lock under which a step reads and moves the position."""
ALERT = "audit-seal"
SECONDS = 1.0
"""After which a step ends: where rows are far between there is much to look at for few of them."""


@dataclass(frozen=True)
class Sealed:
    """What one call did."""

    blocks: int = 0
    leaves: int = 0
    last: int = 0
    """Number of the newest block there is; 0 when there is none."""


@dataclass(frozen=True)
class _Step:
    began: bool
    ended: bool
    block: SealBlock | None = None


def audit_seal(*, using: str = "default") -> Sealed:
    """Seals everything that had committed when it was called, and anchors it.

    Two callers share the work; one that waits too long for the other's step leaves it to it. Not to
    be called in a transaction: raises RuntimeError.

    Raises:
        Rewound: the database stands behind its last anchor.
        AnchorUnusable: all is sealed, and could not be told outside.
        KeyUnusable: nothing can be signed.
        StorageError: the storage did not take an anchor.
    """
    statement_summarise(using=using)
    position = SealPosition.objects.using(using).first()
    if position is not None:
        # Not to know is no reason to leave everything unsealed: writing the anchor tells of it.
        with suppress(AnchorUnusable):
            rewind_check(position)
    blocks, leaves, began = 0, 0, False
    try:
        while True:
            step = _step(using)
            began = began or step.began
            if step.block is not None:
                blocks, leaves = blocks + 1, leaves + step.block.leaves
            if step.ended and began:
                break
    except OperationalError as error:
        if not isinstance(error.__cause__, errors.LockNotAvailable):
            raise
    last = SealBlock.objects.using(using).order_by("number").last()
    if last is not None:
        _anchor(last, using)
    return Sealed(blocks, leaves, last.number if last else 0)


def audit_seal_beat() -> None:
    """What beat does: as `audit_seal`, and what keeps it from sealing becomes an alert."""
    try:
        audit_seal()
    except CustodyError as error:
        alert_raise(
            key=ALERT,
            summary="The audit log is not sealed."
            if not isinstance(error, AnchorUnusable)
            else "The seals of the audit log are not anchored.",
            remedy=str(error),
        )
        if not isinstance(error, Rewound | AnchorUnusable):
            raise
    else:
        alert_resolve(key=ALERT)


def _anchor(last: SealBlock, using: str) -> None:
    position = SealPosition.objects.using(using).get()
    told = anchor_last(position.chain)
    if told is None or told.anchor.number < last.number:
        anchor_write(last, position)


def _step(using: str) -> _Step:
    with transaction.atomic(using=using, durable=True), connections[using].cursor() as cursor:
        # An anchor must not outlive its block.
        set_local({"lock_timeout": PATIENCE, "synchronous_commit": "on"}, using=using)
        cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", [LOCK])
        # A new partition has no statistics, by which its index would seem of no use.
        set_local({"enable_seqscan": "off"}, using=using)
        position, _ = SealPosition.objects.using(using).get_or_create(
            pk=1, defaults={"chain": uuid.uuid4()}
        )
        began = not position.target
        if began:
            summarised = SummaryPosition.objects.using(using).get()
            if summarised.snapshot in ("", position.snapshot):
                return _Step(began=True, ended=True)
            position.target, position.target_at = summarised.snapshot, summarised.at
            position.save()
            position.todo = seal_plan(position, using=using)
        drafts = _take(position, between(using=using), using)
        ended = not position.todo
        covers = position.target if ended else ""
        # Steps that were full may have left nothing to the last one, which has to tell even so.
        block = None
        if drafts or (ended and _owes_end(using)):
            block = _block(drafts, position, covers, using)
        if ended:
            position.snapshot, position.target = position.target, ""
            position.at, position.target_at = position.target_at or timezone.now(), None
        position.save()
        return _Step(began, ended, block)


def _take(position: SealPosition, window: Between, using: str) -> list[Draft]:
    """The next sections of the plan, MOST leaves of them or so, or what is found in SECONDS."""
    drafts: list[Draft] = []
    room = MOST
    todo = list(position.todo)
    began = time.monotonic()
    while todo and room > 0 and time.monotonic() - began < SECONDS:
        made, rest = seal_sections(todo[0], window, room=room, using=using)
        drafts += made
        room -= sum(len(draft.leaves) for draft in made)
        todo[:1] = [rest] if rest else []
    position.todo = todo
    return drafts


def _owes_end(using: str) -> bool:
    """The newest block does not say up to where all is sealed."""
    last = SealBlock.objects.using(using).order_by("number").last()
    try:
        return last is not None and not header_read(last.header).covers
    except NotCanonical:
        # It was altered, which is for audit_verify to tell: it keeps nothing from being sealed.
        return True


def _block(drafts: list[Draft], position: SealPosition, covers: str, using: str) -> SealBlock:
    last = SealBlock.objects.using(using).order_by("number").last()
    now = datetime.now(UTC)
    leaves = [leaf for draft in drafts for leaf in draft.leaves]
    signer = keys.signer()
    header = Header(
        chain=str(position.chain),
        number=last.number + 1 if last else 1,
        previous=last.hash if last else FIRST,
        made_at=now.isoformat(timespec="microseconds"),
        root=merkle.root(leaves).hex(),
        sections=[section_head(draft.section) for draft in drafts],
        covers=covers,
        key_id=signer.key_id,
    )
    signature = signer.sign(header.signed)
    block = SealBlock.objects.using(using).create(
        number=header.number,
        header=header.signed.decode(),
        hash=header.hash,
        signature=signature.signature_b64,
        key_id=signature.key_id,
        leaves=len(leaves),
        made_at=now,
    )
    place = 0
    for draft in drafts:
        draft.section.block, draft.section.place = block, place
        place += len(draft.leaves)
    SealSection.objects.using(using).bulk_create([draft.section for draft in drafts])
    return block
