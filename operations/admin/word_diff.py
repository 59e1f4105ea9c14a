"""Two texts as one, with the words that went struck out and those that came marked."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

LONGEST = 4_000
"""Words up to which texts are compared word by word, which takes the square of that."""
LIKE = 0.25
"""Of texts less alike than this one is struck out whole: crumbs in common tell nobody anything."""

_TOKENS = re.compile(r"\s+|\w+|[^\w\s]")


def word_diff(old: str, new: str) -> SafeString:
    """Safe HTML with <del> and <ins>; the texts may hold anything."""
    if old == new:
        return _safe(conditional_escape(old))
    before, after = _TOKENS.findall(old), _TOKENS.findall(new)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if max(len(before), len(after)) > LONGEST or matcher.quick_ratio() < LIKE:
        return _changed(old, new)
    if matcher.ratio() < LIKE:
        return _changed(old, new)
    parts: list[SafeString | str] = []
    gone, come = "", ""
    for same, left, right in _pieces(matcher, before, after):
        if same and (left.strip() or not (gone or come)):
            parts += [_changed(gone, come), conditional_escape(left)]
            gone, come = "", ""
        else:
            # A blank between two changes belongs to both: they read as one.
            gone, come = gone + left, come + right
    return _safe("".join([*parts, _changed(gone, come)]))


def _pieces(
    matcher: SequenceMatcher[str], before: list[str], after: list[str]
) -> list[tuple[bool, str, str]]:
    return [
        (tag == "equal", "".join(before[a:b]), "".join(after[c:d]))
        for tag, a, b, c, d in matcher.get_opcodes()
    ]


def _changed(gone: str, come: str) -> SafeString:
    if gone == come:
        return _safe(conditional_escape(gone))
    deleted = format_html("<del>{}</del>", gone) if gone else _safe("")
    inserted = format_html("<ins>{}</ins>", come) if come else _safe("")
    between = " " if gone and come else ""
    return _safe(f"{deleted}{between}{inserted}")


def _safe(text: str) -> SafeString:
    return mark_safe(text)  # noqa: S308 - each part is escaped already
