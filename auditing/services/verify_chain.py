"""The chain of blocks, and what was told of it outside the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from auditing.exceptions import AnchorUnusable
from auditing.models import SealBlock, SealPosition, SealSection
from auditing.seals import merkle
from auditing.seals.found import Finding, Found
from auditing.seals.headers import FIRST, Header, header_read
from auditing.selectors.verify_sections import section_head
from auditing.services.anchors import (
    SignedAnchor,
    anchors,
    anchors_elsewhere,
    anchors_file,
    anchors_stored,
)
from auditing.services.seal_leaks import Leak, leak_doubts, seal_leaks
from operations import keys
from operations.certificates.canonical import NotCanonical
from operations.storage import StorageError

BLOCKS = 16
"""That are looked at in one piece: each has some 16,000 leaves."""
PATIENCE = timedelta(minutes=5)
"""After which a block has an anchor, if it gets one here."""
_LINES = 2000


def blocks_verify(after: int, upto: int | None, *, using: str) -> Found:
    """Blocks after one number, up to and with another: chained, signed, and each with its leaves.

    Args:
        upto: None for the end of the chain.
    """
    blocks = SealBlock.objects.using(using).filter(number__gt=after)
    if upto is not None:
        blocks = blocks.filter(number__lte=upto)
    before = SealBlock.objects.using(using).filter(number=after).first()
    previous, number = (before.hash if before else FIRST), after
    findings: list[Finding] = []
    position = SealPosition.objects.using(using).first()
    chain = str(position.chain) if position is not None else ""
    leaks: dict[str, Leak] = {}
    try:
        leaks = seal_leaks(using=using)
    except (AnchorUnusable, StorageError) as error:
        findings.append(Finding("anchor", str(error)))
    checked = 0
    signers: list[tuple[int, str]] = []
    for block in blocks.order_by("number").iterator(chunk_size=BLOCKS):
        if block.number > number + 1:
            findings.append(_gap(number + 1, block.number - 1))
            previous = ""
        number = block.number
        findings += [
            Finding("chain", text, block=number)
            for text in _problems(block, previous, chain, using)
        ]
        signers.append((block.number, block.key_id))
        previous = block.hash
        checked += 1
    if upto is not None and number < upto:
        findings.append(_gap(number + 1, upto))
    findings += [Finding("chain", text, block=n) for n, text in leak_doubts(signers, leaks)]
    return Found(checked, tuple(findings))


def _gap(first: int, last: int) -> Finding:
    said = f"Block {first} is" if first == last else f"Blocks {first} to {last} are"
    return Finding("chain", f"{said} missing from the chain.", block=first)


def _problems(block: SealBlock, previous: str, chain: str, using: str) -> Iterator[str]:
    try:
        header = header_read(block.header)
    except NotCanonical as error:
        yield f"The header of block {block.number} was altered: {error}"
        return
    name = f"Block {block.number}"
    if header.hash != block.hash:
        yield f"{name}: its header does not give its hash: one of them was altered."
    if not keys.verify(header.signed, block.signature, header.key_id):
        yield f"{name}: its signature does not fit its header, or its key is not one of ours."
    said = (header.number, header.key_id, header.made_at, header.leaves)
    if said != (
        block.number,
        block.key_id,
        block.made_at.isoformat("T", "microseconds"),
        block.leaves,
    ):
        yield f"{name}: its row says something else than its signed header."
    if header.chain != chain:
        yield f"{name} is of the chain {header.chain}, and the sealer is at {chain or 'none'}."
    if previous and header.previous != previous:
        yield f"{name} does not follow block {block.number - 1}: one of them was exchanged."
    yield from _leaves(block, header, using)


def _leaves(block: SealBlock, header: Header, using: str) -> Iterator[str]:
    sections = list(SealSection.objects.using(using).filter(block=block).order_by("place"))
    name = f"Block {block.number}"
    heads = [section_head(each) for each in sections]
    if heads != header.sections:
        yield f"{name}: its sections are not those of its header: one was altered or is gone."
    elif any(len(each.ids) * merkle.HASH != len(each.hashes) for each in sections):
        yield f"{name}: a list of its numbers was altered."
    elif not _bounded(sections):
        yield f"{name}: where its sections begin and end was altered."
    leaves = [leaf for each in sections for leaf in merkle.split(bytes(each.hashes))]
    if merkle.root(leaves).hex() != header.root:
        yield f"{name}: its leaves do not give its root: they were altered."


def _bounded(sections: list[SealSection]) -> bool:
    """Numbers and places of the sections, which are not signed, are those of their leaves."""
    place = 0
    for each in sections:
        if (each.place, each.first, each.last) != (
            place,
            min(each.ids, default=0),
            max(each.ids, default=0),
        ):
            return False
        if each.tags is not None and len(each.tags) != len(each.ids):
            return False
        place += len(each.ids)
    return True


def anchors_verify(*, using: str) -> Found:
    """That the database still has what was told outside of it."""
    position = SealPosition.objects.using(using).first()
    findings = list(_begun_anew(position))
    if position is None:
        return Found(0, tuple(findings))
    told: list[SignedAnchor] = []
    try:
        told = list(anchors(position.chain))
    except AnchorUnusable as error:
        findings.append(Finding("anchor", str(error)))
    rewound = [each for each in told if each.anchor.kind == "rewound"]
    findings += [
        Finding("anchor", f"The rewind in {each.where} is not signed by us.")
        for each in rewound
        if not _signed(each)
    ]
    rewound = [each for each in rewound if _signed(each)]
    standing = _standing(told)
    try:
        standing += [
            each
            for each in anchors_stored(position.chain)
            if not any(
                back.anchor.number < each.anchor.number and back.anchor.at >= each.anchor.at
                for back in rewound
            )
        ]
    except (AnchorUnusable, StorageError) as error:
        findings.append(Finding("anchor", str(error)))
    for start in range(0, len(standing), _LINES):
        findings += _compared(standing[start : start + _LINES], using)
    return Found(len(standing), tuple(findings), remarks=_unanchored(position, standing, using))


def _begun_anew(position: SealPosition | None) -> Iterator[Finding]:
    """Whoever throws away all blocks has the log sealed anew, under another chain."""
    try:
        for each in anchors_elsewhere(position.chain if position is not None else None):
            if each.anchor.number and _signed(each):
                yield Finding(
                    "anchor",
                    f"The log was begun anew: block {each.anchor.number} of another chain was "
                    f"anchored at {each.anchor.at} ({each.where}), signed with a key of this "
                    "database, which has no such block. Is that the file of another database? Then "
                    "move it to a folder of its own.",
                    block=each.anchor.number,
                )
    except (AnchorUnusable, StorageError) as error:
        yield Finding("anchor", str(error))


def _unanchored(
    position: SealPosition, standing: list[SignedAnchor], using: str
) -> tuple[str, ...]:
    """No fault by itself: each machine that seals has a file of its own."""
    last = max((each.anchor.number for each in standing), default=0)
    later = SealBlock.objects.using(using).filter(number__gt=last).order_by("number")
    since = later.filter(made_at__lt=timezone.now() - PATIENCE).first()
    if since is None:
        return ()
    newest = f"the last anchor known here is of block {last}" if last else "no anchor is known here"
    remark = (
        f"Block {since.number} was made at {since.made_at.isoformat(timespec='seconds')}, and "
        f"{newest} ({anchors_file(position.chain)}): whether the database was rewound behind later "
        "ones was not verified. Verify on the machine that seals, or point CUSTODY_ANCHORS at its "
        "folder."
    )
    return (remark,)


def _signed(each: SignedAnchor) -> bool:
    return keys.verify(each.anchor.signed, each.signature, each.anchor.key_id)


def _standing(told: list[SignedAnchor]) -> list[SignedAnchor]:
    """Anchors of blocks that were not given up by a later, accepted rewind."""
    found: list[SignedAnchor] = []
    limit: int | None = None
    for each in reversed(told):
        if each.anchor.kind == "rewound":
            if _signed(each):
                limit = each.anchor.number if limit is None else min(limit, each.anchor.number)
        elif limit is None or each.anchor.number <= limit:
            found.append(each)
    return found[::-1]


def _compared(told: list[SignedAnchor], using: str) -> Iterator[Finding]:
    numbers = [each.anchor.number for each in told]
    known = dict(
        SealBlock.objects.using(using).filter(number__in=numbers).values_list("number", "hash")
    )
    gone = [each for each in told if each.anchor.number not in known]
    for each in told:
        anchor = each.anchor
        if known.get(anchor.number) == anchor.hash or each in gone:
            continue
        said = "is not the block that was anchored" if _signed(each) else "has a forged anchor"
        yield Finding(
            "anchor",
            f"Block {anchor.number} {said} at {anchor.at} ({each.where}).",
            block=anchor.number,
        )
    if gone:
        newest = max(gone, key=lambda each: each.anchor.number)
        last = newest.anchor
        yield Finding(
            "anchor",
            f"The database was rewound: block {last.number}, anchored at {last.at} "
            f"({newest.where}), is not there.",
            block=last.number,
        )
