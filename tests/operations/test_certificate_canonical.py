"""The form that is signed: the same value gives the same bytes, wherever it has been."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operations.certificates.canonical import NotCanonical, canonical, read_json
from operations.certificates.files import read_document
from tests.effort import examples
from tests.operations.certificate_bodies import shuffled, values


def test_keys_are_sorted_as_rfc_8785_sorts_them() -> None:
    # The example of RFC 8785, section 3.2.3.
    example = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert canonical(example).decode() == (
        '{"\\r":"Carriage Return","1":"One","\u0080":"Control",'
        '"ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign",'
        '"😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}'
    )


def test_text_has_the_shortest_escapes() -> None:
    assert canonical('€$\u000f\nA\'B"\\\\"/\u007f') == (
        '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f"'.encode()
    )
    assert canonical([None, True, False, 0, -1, 10**20, {}, [], ""]) == (
        b'[null,true,false,0,-1,100000000000000000000,{},[],""]'
    )


@given(values)
def test_the_order_of_keys_and_the_spaces_do_not_matter(value: Any) -> None:
    signed = canonical(value)
    assert canonical(shuffled(value)) == signed
    assert read_json(signed.decode()) == value
    assert canonical(read_json(signed.decode())) == signed


@pytest.mark.django_db(transaction=True)
@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, max_size=20))
def test_what_has_been_in_the_database_is_still_what_was_signed(value: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [canonical(value).decode()])
        (kept,) = cursor.fetchone()
    assert canonical(read_json(kept)) == canonical(value)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        Decimal(1),
        datetime(2026, 1, 1, tzinfo=UTC),
        b"bytes",
        {1: "a number as key"},
        {"deep": [{"set": {1}}]},
        "a NUL \0",
        {"a NUL \0": 1},
        "half a pair \ud800",
    ],
)
def test_what_has_no_single_form_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical(value)


def test_the_error_says_where_it_is() -> None:
    with pytest.raises(NotCanonical, match=r"the value\.tables\[1\]\.ratio is a float"):
        canonical({"tables": [{}, {"ratio": 0.5}]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        '{"a": 1, "a": 2}',
        "[NaN]",
        "[" * 100_000,
        '"\\ud800',
    ],
)
def test_json_that_can_be_read_in_more_than_one_way_is_refused(text: str) -> None:
    with pytest.raises(NotCanonical):
        read_json(text)


@given(st.binary() | values.map(canonical))
def test_no_file_makes_the_reader_fail(content: bytes) -> None:
    with pytest.raises(NotCanonical):
        read_document(content)
