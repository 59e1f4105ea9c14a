"""Any JSON value as parts of a page: facts in two columns, lists of objects as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from reportlab.lib import colors
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import CondPageBreak, Flowable, LongTable, Paragraph, Spacer, Table

from operations.certificates import fonts

WIDTH = 170 * mm
ACCENT = colors.HexColor("#1e3a5f")
QUIET = colors.HexColor("#64748b")
PALE = colors.HexColor("#f1f5f9")
_RULE = colors.HexColor("#cbd5e1")

_LABEL_WIDTH = 42 * mm
_CELL_SIZE = 7.5
_SMALLEST_CELL_SIZE = 6
_CELL_PADDING = 4
_MOST_COLUMNS = 8
# Longer text stands below the facts: a row of a table that is higher than a page is hard to read.
_LONGEST_FACT = 700
_MOST_ENTRIES = 40
_ROWS_AT_ONCE = 500
_NAMES = {"sha256": "SHA-256", "id": "ID", "pdf": "PDF", "json": "JSON", "sql": "SQL", "url": "URL"}
_NOT_COUNTED = re.compile(r"(.*_)?(id|run|version|year)")


def style(
    size: float, *, color: Any = colors.black, leading: float | None = None, right: bool = False
) -> ParagraphStyle:
    return ParagraphStyle(
        name="",
        fontName=fonts.REGULAR,
        fontSize=size,
        leading=leading or size * 1.35,
        textColor=color,
        alignment=TA_RIGHT if right else TA_LEFT,
        splitLongWords=1,
    )


_VALUE = style(8.5, leading=12)
_LABEL = style(8.5, leading=12, color=QUIET)


def label(key: str) -> str:
    """`legal_basis` -> `Legal basis`; a key that is no simple name stays as it is."""
    if not re.fullmatch("[a-z][a-z0-9_]*", key):
        return key
    words = [_NAMES.get(word, word) for word in key.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def shown(key: str, value: object) -> str:
    """A value as text; one of several parts on one line."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int():
            small = abs(value) < 10_000 or _NOT_COUNTED.fullmatch(key)
            return str(value) if small else f"{value:,}"
        case dict():
            return "; ".join(f"{label(k)}: {shown(k, v)}" for k, v in value.items()) or "none"
        case list() | tuple():
            return ", ".join(shown(key, item) for item in value) or "none"
        case _:
            return str(value)


def sections(body: dict[str, Any], *, depth: int = 0) -> list[Flowable]:
    """`body` in its order, but what is one line first and what is pages long last."""
    short = {key: value for key, value in body.items() if _is_short(value)}
    long = [key for key in body if key not in short]
    found = facts(short) if short else []
    for key in sorted(long, key=lambda key: _entries(body[key]) > _MOST_ENTRIES):
        found += [CondPageBreak(30 * mm), _heading(label(key), depth)]
        found += _section(key, body[key], depth)
    return found


def facts(values: dict[str, Any], *, width: float = WIDTH) -> list[Flowable]:
    """Two columns: what it is, and the value."""
    rows = [
        [
            Paragraph(fonts.markup(label(key)), _LABEL),
            Paragraph(fonts.markup(shown(key, value)), _VALUE),
        ]
        for key, value in values.items()
    ]
    table = Table(rows, colWidths=[_LABEL_WIDTH, width - _LABEL_WIDTH], splitInRow=1)
    table.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
        ]
    )
    return [table]


def _is_short(value: object) -> bool:
    if isinstance(value, dict | list | tuple):
        return not value
    return len(str(value)) <= _LONGEST_FACT


def _entries(value: object) -> int:
    match value:
        case dict():
            return sum(map(_entries, value.values()))
        case list() | tuple():
            return len(value) + sum(map(_entries, value))
        case _:
            return 0


def _section(key: str, value: Any, depth: int) -> Iterator[Flowable]:
    match value:
        case dict():
            yield from sections(value, depth=depth + 1)
        case list() | tuple() if all(isinstance(item, dict) and item for item in value):
            yield from _table(value, depth)
        case list() | tuple():
            for item in value:
                yield Paragraph(fonts.markup(shown(key, item)), _VALUE, bulletText="•")
        case _:
            yield Paragraph(fonts.markup(shown(key, value)), _VALUE)


def _table(items: Sequence[dict[str, Any]], depth: int) -> Iterator[Flowable]:
    columns = list(dict.fromkeys(key for item in items for key in item))
    if len(columns) > _MOST_COLUMNS:
        for number, item in enumerate(items, 1):
            yield _heading(str(number), depth + 1)
            yield from sections(item, depth=depth + 2)
        return
    counted = {key: all(_is_number(item.get(key)) for item in items) for key in columns}
    texts = [[shown(key, item[key]) if key in item else "" for key in columns] for item in items]
    size, widths = _widths([label(key) for key in columns], texts)
    forms = [style(size, leading=size + 2.5, right=counted[key]) for key in columns]
    rows = [[_cell(*each) for each in zip(row, forms, widths, strict=True)] for row in texts]
    head = [
        Paragraph(fonts.markup(label(key), bold=True), form)
        for key, form in zip(columns, forms, strict=True)
    ]
    look = [
        ("FONT", (0, 1), (-1, -1), fonts.REGULAR, size, size + 2.5),
        ("BACKGROUND", (0, 0), (-1, 0), PALE),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, ACCENT),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, _RULE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), _CELL_PADDING),
        ("RIGHTPADDING", (0, 0), (-1, -1), _CELL_PADDING),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        *(("ALIGN", (i, 1), (i, -1), "RIGHT") for i, key in enumerate(columns) if counted[key]),
    ]
    yield Spacer(1, 2)
    # At each page's end reportlab measures all rows that are left: the time for one table would
    # grow with the square of its rows.
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[first : first + _ROWS_AT_ONCE]
        yield LongTable([head, *some], colWidths=widths, repeatRows=1, splitInRow=1, style=look)


def _cell(text: str, form: ParagraphStyle, width: float) -> str | Paragraph:
    # Ten thousand paragraphs take seconds, ten thousand strings do not.
    room = width - 2 * _CELL_PADDING
    if fonts.is_plain(text) and stringWidth(text, fonts.REGULAR, form.fontSize) <= room:
        return text
    return Paragraph(fonts.markup(text), form)


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
    """The size of the letters, and widths that add up to WIDTH.

    Letters shrink a little when that saves every line from being broken; else each column gets
    what it needs and the widest share what is short.
    """
    texts = [stringWidth(text, fonts.BOLD, 1) for text in head]
    for row in rows:
        texts = [
            max(width, stringWidth(text, fonts.REGULAR, 1))
            for width, text in zip(texts, row, strict=True)
        ]
    padding = 2 * _CELL_PADDING + 0.1
    fitting = (WIDTH - padding * len(texts)) / max(sum(texts), 1)
    size = min(_CELL_SIZE, fitting) if fitting >= _SMALLEST_CELL_SIZE else _CELL_SIZE
    needed = [width * size + padding for width in texts]
    spare = (WIDTH - sum(needed)) / len(needed)
    if spare >= 0:
        return size, [width + spare for width in needed]
    widths: dict[int, float] = {}
    left = WIDTH
    for i in sorted(range(len(needed)), key=needed.__getitem__):
        widths[i] = min(needed[i], left / (len(needed) - len(widths)))
        left -= widths[i]
    return size, [widths[i] for i in range(len(needed))]


def _heading(text: str, depth: int) -> Flowable:
    size = (12, 10, 9)[min(depth, 2)]
    form = style(size, color=ACCENT, leading=size * 1.4)
    form.spaceBefore, form.spaceAfter = 10 - 2 * min(depth, 2), 4
    form.keepWithNext = 1
    return Paragraph(fonts.markup(text, bold=True), form)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))
