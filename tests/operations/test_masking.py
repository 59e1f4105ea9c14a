"""What may be shown of a row: nothing of a person, enough to recognise the row."""

from __future__ import annotations

import json

import pytest

from operations.catalogue.types import Column
from operations.masking import masked


def column(
    name: str, base_type: str = "text", category: str = "S", base_kind: str = "base"
) -> Column:
    return Column(
        name=name,
        position=1,
        type=base_type,
        base_type=base_type,
        kind="base",
        category=category,
        not_null=False,
        generated="",
        identity="",
        has_default=False,
        collation="",
        base_kind=base_kind,  # type: ignore[arg-type]
    )


TEXTS = {
    ("email", "ada.lovelace@example.com"): "a***@e***.com",
    ("note", "ada@mail.example.co.uk"): "a***@m***.uk",
    ("first_name", "Augusta"): "A*** (7 characters)",
    ("username", "ada"): "***",
    ("phoneNumber", "12"): "***",
    ("contact", "+44 (0) 20 7946 0958"): "***",
    ("reference", "491701234567"): "***",
    ("last_seen_from", "203.0.113.9"): "203.***",
    ("last_seen_from", "2001:db8::1"): "2001:***",
    ("token_hash", "9f86d081884c7d659a2feaa0c55ad015"): "***",
    ("body", "Dear Ms Lovelace, thank you."): "D*** (28 characters)",
    ("body", "Ann"): "*** (3 characters)",
    ("body", ""): "",
    ("kind", "page_view"): "page_view",
    ("event_type", "login.failed"): "login.failed",
    ("status", "Ms Lovelace left"): "M*** (16 characters)",
    ("kind", "customer-4711234"): "c*** (16 characters)",
    ("page", "page_view"): "p*** (9 characters)",
    ("at", "2026-11-25T16:00:00Z"): "2026-11-25T16:00:00Z",
    ("date_of_birth", "1815-12-10"): "***",
    ("object", "88a7e1f0-1b2c-4d3e-8f90-a1b2c3d4e5f6"): "88a7e1f0-1b2c-4d3e-8f90-a1b2c3d4e5f6",
}


@pytest.mark.parametrize(("name", "value"), TEXTS)
def test_a_text_is_masked_unless_it_is_known_to_be_harmless(name: str, value: str) -> None:
    assert masked(value, column(name)) == TEXTS[name, value]


KEYS = {
    ("order_number", "ORD-2026/0042"): "ORD-2026/0042",
    ("id", "88a7e1f0-1b2c-4d3e-8f90-a1b2c3d4e5f6"): "88a7e1f0-1b2c-4d3e-8f90-a1b2c3d4e5f6",
    ("email", "ada@example.com"): "a***@e***.com",
    ("id", "ada@example.com"): "a***@e***.com",
    ("id", "491701234567"): "***",
    ("slug", "ada-lovelace"): "a*** (12 characters)",
    ("token", "abc123"): "***",
}


@pytest.mark.parametrize(("name", "value"), KEYS)
def test_a_rows_own_key_is_shown_unless_it_looks_personal(name: str, value: str) -> None:
    assert masked(value, column(name), key=True) == KEYS[name, value]


TYPED = {
    ("id", "int8", "N", "4711"): "4711",
    ("amount", "numeric", "N", "1234.5678901234"): "1234.5678901234",
    ("owner", "int8", "N", "491701234567"): "***",
    ("phone", "int8", "N", "12345"): "***",
    ("latitude", "float8", "N", "51.5"): "***",
    ("created_at", "timestamptz", "D", "2026-11-25 16:00:00+00"): "2026-11-25 16:00:00+00",
    ("email_verified_at", "timestamptz", "D", "infinity"): "infinity",
    ("birth_date", "date", "D", "1815-12-10"): "***",
    ("email_verified", "bool", "B", "true"): "true",
    ("during", "tstzrange", "R", '["2026-01-01 00:00:00+00",)'): '["2026-01-01 00:00:00+00",)',
    ("names", "shop.textrange", "R", "[Ada,Bob)"): "***",
    ("user_id", "uuid", "U", "88a7e1f0"): "88a7e1f0",
    ("session_id", "uuid", "U", "88a7e1f0"): "***",
    ("address", "inet", "I", "203.0.113.9/32"): "203.***",
    ("device", "macaddr", "U", "08:00:2b:01:02:03"): "***",
    ("photo", "bytea", "U", "\\x0102"): "***",
    ("place", "point", "G", "(51.5,-0.1)"): "***",
    ("words", "tsvector", "U", "'ada' 'lovelace'"): "***",
}


@pytest.mark.parametrize(("name", "type_", "category", "value"), TYPED)
def test_a_type_tells_what_its_values_are(name: str, type_: str, category: str, value: str) -> None:
    shown = masked(value, column(name, type_, category))
    assert shown == TYPED[name, type_, category, value]


def test_an_enums_label_is_shown_and_null_stays_null() -> None:
    assert masked("open", column("mood", "shop.mood", "E", "enum")) == "open"
    assert masked(None, column("email")) is None


def test_documents_and_arrays_are_masked_inside() -> None:
    document = {
        "kind": "sign_in",
        "n": 7,
        "at": "2026-11-25",
        "by": {"name": "Ada Lovelace", "email": "ada@example.com", "phone": 12345},
        "ips": ["203.0.113.9", None, True],
        "card": 4111111111111111,
        "ada@example.com": 1,
    }
    shown = masked(json.dumps(document), column("payload", "jsonb", "U"))
    assert shown is not None
    assert shown.endswith("…")
    assert "Lovelace" not in shown
    short = masked(json.dumps({"kind": "sign_in", "by": document["by"]}), column("p", "json", "U"))
    assert json.loads(short or "") == {
        "kind": "sign_in",
        "by": {"name": "A*** (12 characters)", "email": "a***@e***.com", "phone": "***"},
    }
    keys = masked(json.dumps({"ada@example.com": 1, "card": 4111111111111111}), column("p", "json"))
    assert json.loads(keys or "") == {"***": 1, "card": "***"}
    names = masked('["Ada Lovelace", null]', column("names", "text[]", "A", "array"))
    assert json.loads(names or "") == ["A*** (12 characters)", None]
    assert masked("", column("payload", "jsonb", "U")) == "***"
    assert masked("[" * 100_000, column("payload", "jsonb", "U")) == "***"


def test_long_documents_are_cut_and_say_so() -> None:
    many = masked(json.dumps(list(range(20))), column("n", "int4[]", "A", "array"))
    assert json.loads(many or "") == [*range(8), "… 12 more"]
    fields = masked(json.dumps({f"f{n}": n for n in range(10)}), column("d", "jsonb", "U"))
    assert json.loads(fields or "") == {**{f"f{n}": n for n in range(8)}, "…": "2 more"}
