"""Letters for any text. A font of the reportlab package, then of the machine, then of the reader.

- Vera (in the reportlab package, embedded): Western European.
- A common sans-serif font of this machine, when there is one (embedded): what it has letters for,
  such as the rest of Latin, Greek and Cyrillic with DejaVu Sans.
- Adobe's Asian fonts (not embedded: the program that shows the PDF brings them): Chinese, Japanese,
  Korean, and plain Greek and Russian where the machine has no font.

What is left is written as in JSON, `\\u05d0`, so that nothing is hidden: other scripts, those
written from right to left (they need shaping), emoji, and marks that are not seen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab import rl_config
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFError, TTFont

REGULAR = "Vera"
BOLD = "VeraBd"

_MACHINE_FONTS = (
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("Arial.ttf", "Arial Bold.ttf"),
)
_MORE_FOLDERS = (
    "/usr/share/fonts/TTF",
    "/usr/share/fonts/dejavu-sans-fonts",
    "/usr/share/fonts/truetype/noto",
    "/usr/share/fonts/noto",
    "/System/Library/Fonts/Supplemental",
)
_READER_FONTS = (
    ("HeiseiKakuGo-W5", re.compile("[\u3041-\u30ff\uff61-\uff9f]")),
    ("HYGothic-Medium", re.compile("[\uac00-\ud7a3\u3131-\u318e]")),
    (
        "STSong-Light",
        re.compile(
            "[\u3000-\u303f\u4e00-\u9fff\uff01-\uff5e"
            "\u0391-\u03a1\u03a3-\u03a9\u03b1-\u03c1\u03c3-\u03c9\u0401\u0410-\u044f\u0451]"
        ),
    ),
)


@dataclass(frozen=True)
class Piece:
    """Text that one font draws."""

    text: str
    font: str


def prepare() -> None:
    """Makes the fonts known to reportlab, which looks them up by name."""
    _fonts(False)
    _fonts(True)


def pieces(text: str, *, bold: bool = False) -> list[Piece]:
    """`text` with its line breaks, cut where the font changes. A word has one font if it can."""
    found: list[Piece] = []
    for word in re.findall(r"\s+|\S+", text):
        font = next((f for f in _fonts(bold) if all(f.has(c) for c in word)), None)
        found += [Piece(word, font.name)] if font else _letter_by_letter(word, bold)
    return [
        Piece("".join(piece.text for piece in same), font)
        for font, same in groupby(found, key=lambda piece: piece.font)
    ]


def markup(text: str, *, bold: bool = False) -> str:
    """`text` in the markup of reportlab's paragraphs."""
    return "".join(
        f'<font name="{piece.font}">{escape(piece.text)}</font>'.replace("\n", "<br/>")
        for piece in pieces(text, bold=bold)
    )


def is_plain(text: str) -> bool:
    """Whether the regular font alone draws `text`, on one line."""
    if _is_simple(text):
        return True
    has = _fonts(False)[0].has
    return all(map(has, text)) and "\n" not in text


def is_whole(text: str) -> bool:
    """Whether every character of `text` is drawn as itself."""
    return _is_simple(text) or all(map(_drawable, text))


def _is_simple(text: str) -> bool:
    # Spares thousands of table cells the look at every letter.
    return text.isascii() and text.isprintable()


class _Font:
    def __init__(self, name: str, glyphs: dict[int, int] | None, range_: re.Pattern[str]) -> None:
        self.name = name
        self._glyphs = glyphs
        self._range = range_

    def has(self, character: str) -> bool:
        if character in " \n":
            return True
        if _needs_escape(character):
            return False
        if self._glyphs is None:
            return self._range.fullmatch(character) is not None
        return bool(self._glyphs.get(ord(character)))


def _letter_by_letter(word: str, bold: bool) -> Iterator[Piece]:
    fonts = _fonts(bold)
    for character in word:
        font = next((f for f in fonts if f.has(character)), None)
        if font is None:
            yield Piece(_escaped(character), fonts[0].name)
        else:
            yield Piece(character, font.name)


def _drawable(character: str) -> bool:
    return any(font.has(character) for font in _fonts(False))


@lru_cache(maxsize=4096)
def _needs_escape(character: str) -> bool:
    return (
        # reportlab gives these no way back to text, so that nobody could search or copy them.
        ord(character) > 0xFFFF
        # Marks without width could reorder or hide what stands beside them.
        or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn")
        or unicodedata.bidirectional(character) in ("R", "AL", "AN")
    )


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


@lru_cache
def _fonts(bold: bool) -> tuple[_Font, ...]:
    """The fonts in the order they are tried, registered with reportlab."""
    anything = re.compile("")
    found = [_truetype(BOLD if bold else REGULAR, Path("VeraBd.ttf" if bold else "Vera.ttf"))]
    for files in _MACHINE_FONTS:
        path = _find(files[1] if bold else files[0]) or _find(files[0])
        if path is not None:
            try:
                found.append(_truetype(f"machine-{path.stem}", path))
                break
            except (TTFError, OSError):
                continue
    for name, range_ in _READER_FONTS:
        _register(UnicodeCIDFont(name), bold_name=name)
        found.append((name, None, range_))
    return tuple(_Font(name, glyphs, range_ or anything) for name, glyphs, range_ in found)


def _truetype(name: str, path: Path) -> tuple[str, dict[int, int] | None, re.Pattern[str] | None]:
    font = TTFont(name, str(path))
    _register(font, bold_name=BOLD if name == REGULAR else name)
    return name, font.face.charToGlyph, None


def _register(font: TTFont | UnicodeCIDFont, *, bold_name: str) -> None:
    name = font.fontName
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(font)
        pdfmetrics.registerFontFamily(
            name, normal=name, bold=bold_name, italic=name, boldItalic=bold_name
        )


def _find(file_name: str) -> Path | None:
    folders = (*rl_config.TTFSearchPath, *_MORE_FOLDERS)
    candidates = (Path(str(folder)).expanduser() / file_name for folder in folders)
    return next((path for path in candidates if path.is_file()), None)
