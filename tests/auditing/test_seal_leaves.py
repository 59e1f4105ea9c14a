"""Leaves and their tree: any value can be taken away later, and none can be changed unseen."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditing.seals import merkle
from auditing.seals.headers import FIRST, Header, SectionHead, header_read
from auditing.seals.leaves import (
    NULL,
    SALT,
    commitment,
    entry_salt,
    entry_value,
    escape,
    leaf,
    prefixes,
    salts_of,
    tag,
    unescape,
)
from operations.certificates.canonical import NotCanonical

NAMES = ["1_id", "2_e\tmail", "3_note", "rest"]
NAMED = prefixes(NAMES)
texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
values = st.lists(st.none() | texts, min_size=3, max_size=3).map(
    lambda row: [NULL if text is None else escape(text.encode()) for text in row]
)
entries = st.dictionaries(st.integers(4, 9).map(str), texts, max_size=3)


def printed(rest: dict[str, str]) -> bytes:
    return escape(entry_value(rest)) if rest else NULL


@given(st.binary(max_size=50).filter(lambda text: b"\0" not in text))
def test_what_copy_prints_is_read_back(text: bytes) -> None:
    line = escape(text)
    assert b"\t" not in line
    assert b"\n" not in line
    assert unescape(line) == text


@given(values, entries, st.data())
def test_values_are_taken_away_and_the_leaf_stays_what_it_was(
    row: list[bytes], rest: dict[str, str], data: st.DataObject
) -> None:
    salts = salts_of(bytes(32), 2, len(NAMES))
    at = len(NAMES) * SALT
    before = leaf(b"7\tU", [*row, printed(rest)], NAMED, salts, at)
    taken = data.draw(st.sets(st.sampled_from(range(3))))
    gone = data.draw(st.sets(st.sampled_from(sorted(rest)))) if rest else set()
    after, kept, left = list(row), {}, bytearray(salts)
    for place in taken:
        slot = slice(at + place * SALT, at + (place + 1) * SALT)
        if row[place] != NULL:
            kept[NAMED[place]] = commitment(salts[slot], row[place])
        after[place] = NULL
        left[slot] = bytes(SALT)
    slot = slice(at + 3 * SALT, at + 4 * SALT)
    if gone:
        for key, value in rest.items():
            [prefix] = prefixes([f"rest.{key}"])
            salt = entry_salt(salts[slot], key)
            kept[prefix] = commitment(salt, entry_value(value)) if key in gone else salt
        left[slot] = bytes(SALT)
    stays = {key: value for key, value in rest.items() if key not in gone}
    assert leaf(b"7\tU", [*after, printed(stays)], NAMED, bytes(left), at, kept) == before


@given(values, entries, st.integers(0, 3), texts)
def test_any_other_value_is_another_leaf(
    row: list[bytes], rest: dict[str, str], place: int, text: str
) -> None:
    salts = salts_of(b"s" * 32, 1, len(NAMES))
    fields = [*row, printed(rest)]
    other = list(fields)
    other[place] = printed({**rest, "10": text}) if place == 3 else escape(text.encode())
    same = other == fields
    assert (leaf(b"m", fields, NAMED, salts, 0) == leaf(b"m", other, NAMED, salts, 0)) is same
    assert leaf(b"m", fields, NAMED, salts, 0) != leaf(b"n", fields, NAMED, salts, 0)


def test_a_value_in_another_column_or_row_has_another_commitment() -> None:
    salts = salts_of(bytes(32), 2, 2)
    named = prefixes(["a", "b"])
    found = {
        leaf(b"m", row, named, salts, at)
        for row in ([b"x", NULL], [NULL, b"x"], [b"x", b"x"], [NULL, NULL])
        for at in (0, 2 * SALT)
    }
    # Without a value there is no salt in it.
    assert len(found) == 7


def test_a_leaf_is_what_the_format_says() -> None:
    salt = salts_of(bytes(32), 1, 1)
    inner = b"\0" + b"7\tU" + b"\n" + b"1_id\t" + sha256(salt + b"x").digest() + b"\n"
    assert leaf(b"7\tU", [b"x"], prefixes(["1_id"]), salt, 0) == sha256(inner).digest()
    assert tag(b"4711") == int.from_bytes(sha256(b"4711").digest()[:8], "big", signed=True)


@given(st.integers(1, 40), st.data())
def test_each_leaf_leads_to_the_root_and_no_other_does(size: int, data: st.DataObject) -> None:
    leaves = [sha256(bytes([n])).digest() for n in range(size)]
    root = merkle.root(leaves)
    place = data.draw(st.integers(0, size - 1))
    path = merkle.path(leaves, place)
    assert merkle.along(leaves[place], path) == root
    assert merkle.along(sha256(b"other").digest(), path) != root
    assert len(path) <= size.bit_length()


def test_the_tree_is_that_of_rfc_6962() -> None:
    a, b, c = (sha256(text).digest() for text in (b"a", b"b", b"c"))
    ab = sha256(b"\1" + a + b).digest()
    assert merkle.root([]) == sha256(b"").digest()
    assert merkle.root([a]) == a
    assert merkle.root([a, b, c]) == sha256(b"\1" + ab + c).digest()


def test_a_header_is_read_only_as_it_was_signed() -> None:
    section = SectionHead("history.app__t", "version", 3, ["seq"], ["1_id"])
    header = Header("chain", 1, FIRST, "2026-01-01T00:00:00+00:00", "ab", [section], "", "key")
    text = header.signed.decode()
    assert header_read(text) == header
    for wrong in (
        text.replace(",", ", ", 1),
        text.replace('"number":1', '"number":1,"more":2'),
        text.replace("custody-seal/1", "custody-seal/2"),
        "{}",
        "[]",
        "nothing",
    ):
        with pytest.raises(NotCanonical):
            header_read(wrong)
