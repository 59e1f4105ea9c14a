"""The whole state of the seals: every committed row in exactly one leaf, under one signed chain."""

from __future__ import annotations

import base64
from collections import Counter

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from auditing.models import SealBlock, SealPosition, SealSection
from auditing.seals import merkle
from auditing.seals.headers import FIRST, SectionHead, header_read
from auditing.selectors.verify_sections import section_head
from auditing.services.anchors import anchors
from operations.models import SigningKey

from .sealed_model import checked, excused


def leaves_fit() -> Counter[str]:
    """Each leaf is made by one row that is there, or was taken away by the console itself, and each
    row makes one leaf; how many leaves each source has."""
    found = checked()
    assert [each for each in found.gone if not excused(each)] == []
    assert found.unsealed == []
    leaves: Counter[str] = Counter()
    for section in SealSection.objects.all():
        leaves[section.source] += len(section.ids)
    assert found.matched + len(found.gone) == leaves.total()
    return leaves


def chain_holds() -> int:
    """No block is missing, each is what was signed, and nothing is left to seal; how many there
    are."""
    public = {
        key.key_id: Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key))
        for key in SigningKey.objects.all()
    }
    position = SealPosition.objects.get()
    assert (position.target, position.todo) == ("", [])
    previous, covers = FIRST, ""
    hashes: dict[int, str] = {}
    for number, block in enumerate(SealBlock.objects.order_by("number"), 1):
        header = header_read(block.header)
        assert (header.number, header.previous, header.chain) == (
            number,
            previous,
            str(position.chain),
        )
        assert (block.number, block.hash, block.leaves) == (number, header.hash, header.leaves)
        public[block.key_id].verify(base64.b64decode(block.signature), header.signed)
        _sections_fit(block, header.sections, header.root)
        previous, covers = header.hash, header.covers
        hashes[number] = header.hash
    assert covers == position.snapshot
    _anchors_fit(position, hashes)
    return len(hashes)


def _sections_fit(block: SealBlock, heads: list[SectionHead], root: str) -> None:
    place, leaves, found = 0, [], []
    for section in block.sections.order_by("place"):
        made = merkle.split(bytes(section.hashes))
        assert section.place == place
        assert len(made) == len(section.ids) == len(section.tags or section.ids)
        assert (section.first, section.last) == (min(section.ids), max(section.ids))
        place, leaves = place + len(made), leaves + made
        found.append(section_head(section))
    assert found == heads
    assert merkle.root(leaves).hex() == root


def _anchors_fit(position: SealPosition, hashes: dict[int, str]) -> None:
    told = [(each.anchor.number, each.anchor.hash) for each in anchors(position.chain)]
    assert [each for each in told if hashes.get(each[0]) != each[1]] == []
    numbers = [number for number, _ in told]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == len(hashes)
