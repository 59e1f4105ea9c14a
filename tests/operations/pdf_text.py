"""The text of a PDF that reportlab made, in the order it was drawn, without white space.

Reads what the file itself says: the content streams, and for every font the table that maps its
codes back to Unicode, as a person who copies the text would get it.
"""

from __future__ import annotations

import base64
import re
import zlib

_PLACE = re.compile(rb"(\d{10}) \d{5} n")
_HEAD = re.compile(rb"(\d+) 0 obj\s+(.*?)(?:endobj|\bstream\r?\n)", re.DOTALL)
_SHOWN = re.compile(rb"/(?P<font>[\w+]+) [\d.]+ Tf|\((?P<text>(?:\\.|[^\\()])*)\) Tj", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def pdf_text(content: bytes) -> str:
    objects = _objects(content)
    fonts = {
        name: _codes(objects, int(reference))
        for body, _ in objects.values()
        for name, reference in re.findall(rb"/(F\d+(?:\+\d+)?) (\d+) 0 R", body)
    }
    drawn: list[str] = []
    for _, stream in objects.values():
        font: dict[int, str] | None = None
        for match in _SHOWN.finditer(stream):
            if match["font"]:
                font = fonts.get(match["font"])
            elif match["text"] is not None:
                drawn.append(_decoded(_ESCAPE.sub(_unescaped, match["text"]), font))
    return "".join("".join(drawn).split())


def pages(content: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", content))


def _objects(content: bytes) -> dict[int, tuple[bytes, bytes]]:
    """Number to (what is said of the object, its stream)."""
    table = content.index(b"xref", content.rindex(b"endobj"))
    found = {}
    for place in _PLACE.findall(content, table):
        head = _HEAD.match(content, int(place))
        assert head is not None
        number, said = int(head[1]), head[2]
        length = re.search(rb"/Length (\d+)", said)
        data = content[head.end() : head.end() + int(length[1])] if length else b""
        found[number] = (said, _decompressed(said, data))
    return found


def _codes(objects: dict[int, tuple[bytes, bytes]], number: int) -> dict[int, str] | None:
    """Code to text; None for a font whose codes are UTF-16, as the Asian ones have."""
    said, _ = objects[number]
    if b"UCS2" in said:
        return None
    unicode = re.search(rb"/ToUnicode (\d+) 0 R", said)
    if unicode is None:
        return {}
    _, table = objects[int(unicode[1])]
    codes = {}
    for pairs in re.findall(rb"beginbfchar(.*?)endbfchar", table, re.DOTALL):
        for code, text in re.findall(rb"<(\w+)> <(\w+)>", pairs):
            codes[int(code, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    for ranges in re.findall(rb"beginbfrange(.*?)endbfrange", table, re.DOTALL):
        for first, listed in re.findall(rb"<(\w+)>\s*<\w+>\s*\[(.*?)\]", ranges, re.DOTALL):
            for i, text in enumerate(re.findall(rb"<(\w+)>", listed)):
                codes[int(first, 16) + i] = bytes.fromhex(text.decode()).decode("utf-16-be")
    return codes


def _decompressed(said: bytes, data: bytes) -> bytes:
    if b"ASCII85Decode" in said:
        data = base64.a85decode(data.strip().removesuffix(b"~>"))
    return zlib.decompress(data) if b"FlateDecode" in said else data


def _unescaped(match: re.Match[bytes]) -> bytes:
    letter = match[1]
    return bytes([int(letter, 8)]) if letter.isdigit() else _LETTERS.get(letter, letter)


def _decoded(text: bytes, codes: dict[int, str] | None) -> str:
    if codes is None:
        return text.decode("utf-16-be")
    return "".join(codes.get(code, chr(code)) for code in text)
