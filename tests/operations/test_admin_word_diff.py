"""What changed between two texts is marked by word, whatever the texts hold."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.admin.word_diff import LONGEST, word_diff


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("as it was", "as it was", "as it was"),
        ("", "a duty to keep", "<ins>a duty to keep</ins>"),
        ("a duty to keep", "", "<del>a duty to keep</del>"),
        (
            "status = 'open' AND seen_at IS NULL",
            "status = 'closed' AND seen_at IS NULL",
            "status = &#x27;<del>open</del> <ins>closed</ins>&#x27; AND seen_at IS NULL",
        ),
        (
            "Books are kept for ten years by law.",
            "Books are kept for eight full years by law.",
            "Books are kept for <del>ten</del> <ins>eight full</ins> years by law.",
        ),
        (
            "the law says so in § 147, and everybody knows it",
            "the law says so in § 257, and everybody knows it",
            "the law says so in § <del>147</del> <ins>257</ins>, and everybody knows it",
        ),
        (
            "wholly this",
            "something quite else",
            "<del>wholly this</del> <ins>something quite else</ins>",
        ),
        ("<b>", "<b> & more", "&lt;b&gt;<ins> &amp; more</ins>"),
    ],
)
def test_the_words_that_changed_are_marked(old: str, new: str, shown: str) -> None:
    assert word_diff(old, new) == shown


pieces = st.lists(st.sampled_from(["a", "b", " ", "\n", "<", "&", "'", "ü", "days"]), max_size=30)


@given(pieces.map("".join), pieces.map("".join))
def test_without_what_came_it_is_the_old_text_and_without_what_went_the_new(
    old: str, new: str
) -> None:
    shown = word_diff(old, new)
    # The blank between the two belongs to neither.
    shown = shown.replace("</del> <ins>", "</del><ins>")
    assert html.unescape(re.sub(r"<ins>.*?</ins>|</?del>", "", shown, flags=re.DOTALL)) == old
    assert html.unescape(re.sub(r"<del>.*?</del>|</?ins>", "", shown, flags=re.DOTALL)) == new


def test_texts_too_long_to_compare_are_shown_whole() -> None:
    old, new = "a " * LONGEST, "a " * (LONGEST + 1)
    assert word_diff(old, new) == f"<del>{old}</del> <ins>{new}</ins>"
