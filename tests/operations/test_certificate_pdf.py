"""The PDF of a certificate shows all that is signed, in whatever script, on however many pages."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from operations.certificates import fonts
from operations.certificates.layout import label, shown
from operations.certificates.pdf import certificate_pdf
from tests.effort import examples
from tests.operations.certificate_bodies import PURGE, bodies, leaves
from tests.operations.pdf_text import pages, pdf_text

PUBLIC_KEY = base64.b64encode(bytes(range(32))).decode()


def drawn(body: dict[str, Any], *, organisation: str = "Łódź Health – Архив") -> bytes:
    envelope = {
        "number": "C-2026-000123",
        "kind": "disposition",
        "subject": "shop.analytics_events",
        "issued_at": "2026-11-23T05:38:34Z",
        "organisation": organisation,
        "key_id": "0123456789abcdef",
        "body": body,
    }
    return certificate_pdf(envelope, public_key=PUBLIC_KEY)


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.fixture
def no_fonts_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fonts, "_MACHINE_FONTS", ())
    fonts._fonts.cache_clear()
    yield
    fonts._fonts.cache_clear()


def test_it_has_the_number_and_every_value() -> None:
    text = pdf_text(drawn(PURGE))
    for part in (
        "Certificate of disposition",
        "No. C-2026-000123",
        "shop.analytics_events",
        "2026-11-23T05:38:34Z",
        "0123456789abcdef",
        PUBLIC_KEY,
        "manage.py certificate_verify C-2026-000123",
        "Page 2 of",
    ):
        assert squeezed(part) in text
    for key, value in PURGE.items():
        assert key == "statement" or squeezed(label(key)) in text
        for leaf in leaves(value):
            assert squeezed(shown("", leaf)) in text, (key, leaf)
    assert "1,234,567" in text
    assert "<b>flagged</b>" in text


def test_a_long_table_goes_over_many_pages() -> None:
    parts = [{"file": f"part-{i}", "rows": i, "sha256": f"{i:064x}"} for i in range(1000)]
    content = drawn({"archive": {"parts": parts}, "outcome": "complete"})
    text = pdf_text(content)
    assert pages(content) > 10
    assert all(part["sha256"] in text for part in parts)
    assert text.count("FileRowsSHA-256") >= pages(content) - 1, "each page has the table's head"
    assert text.index("complete") < text.index("part-0"), "what is short comes first"


@pytest.mark.parametrize(
    "text",
    [
        "Crème brûlée, Ærøskøbing, ½ €",
        "Čović, Łódź, Győr, Iași, Rīga",
        "Архив відомостей",
        "Ελληνικά: Έλληνας",
        "顧客データのアーカイブ、東京",
        "客户数据",
        "한국어 사본",
    ],
)
def test_text_in_many_scripts_can_be_read_back(text: str) -> None:
    if not fonts.is_whole(text):
        pytest.skip("this machine has no font with these letters")
    read = pdf_text(drawn({"subject": text, "rows": [{"name": text}], "copies": [text]}))
    assert read.count(squeezed(text)) == 3
    assert squeezed("are written as in JSON") not in read


@pytest.mark.usefixtures("no_fonts_on_this_machine")
def test_without_fonts_on_the_machine_nothing_is_lost() -> None:
    read = pdf_text(drawn({"by": "Łódź", "to": "Архив", "for": "Ärger", "in": "東京"}))
    assert "Łód\\u017a" in read
    for text in ("Архив", "Ärger", "東京"):
        assert text in read
    assert squeezed("are written as in JSON") in read


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("עברית", "\\u05e2\\u05d1\\u05e8\\u05d9\\u05ea"),
        ("ok\u202eko", "ok\\u202eko"),
        ("a\tb\x07", "a\\u0009b\\u0007"),
        ("😀", "\\ud83d\\ude00"),
    ],
)
def test_what_no_font_shows_rightly_is_written_as_in_json(text: str, written: str) -> None:
    read = pdf_text(drawn({"note": text}))
    assert written in read
    assert squeezed("are written as in JSON") in read


def test_markup_in_values_is_text() -> None:
    text = "<font color='red'>&amp;</para> <b>"
    assert squeezed(text) in pdf_text(drawn({"note": text, "rows": [{"a": text}]}))
    assert squeezed(text) in pdf_text(drawn({}, organisation=text))


def test_a_statement_or_a_cell_longer_than_a_page_is_no_trouble() -> None:
    long = "word " * 4000
    content = drawn(
        {
            "statement": long,
            "predicate": "x" * 20_000,
            "tables": [{"table": "t", "note": long}, {"table": "u", "note": "短" * 5000}],
            "wide": [{f"column {i}": i for i in range(30)}],
        }
    )
    text = pdf_text(content)
    assert text.count("word") >= 8000
    assert squeezed("column 29") in text


def test_the_same_certificate_has_no_organisation_line_without_one() -> None:
    assert pdf_text(drawn(PURGE, organisation="")).count("·") == 0


@settings(max_examples=examples(30), deadline=None)
@given(bodies)
def test_any_body_can_be_drawn(body: dict[str, Any]) -> None:
    assert drawn(body).startswith(b"%PDF-")
