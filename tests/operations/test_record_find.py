"""A record is found by what somebody knows of it, and by nothing that it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from operations.asked import asked, literal, value_of
from operations.catalogue.types import TableName
from operations.finding import Fit
from operations.services.record_find import Found, record_find
from tests.effort import examples

Execute = Callable[..., list[tuple[Any, ...]]]
ENOUGH = 60.0
"""Seconds, on a machine that does other work too."""

PEOPLE = """
CREATE DOMAIN app.mail AS text;
CREATE TYPE app.mood AS ENUM ('glad', 'sad');
CREATE TABLE app.people (
    id bigint PRIMARY KEY, email app.mail UNIQUE, name text, phone varchar(40), "Order no" int,
    token text, note text, about jsonb, tags text[], total numeric(12, 2), born date,
    created_at timestamptz, seen timestamp, ip inet, uid uuid UNIQUE, mood app.mood);
CREATE TABLE app.lines (person bigint, number int, what text, PRIMARY KEY (person, number));
CREATE TABLE app.loose (title text, amount int);
INSERT INTO app.people VALUES
  (4711, 'Ada.Lovelace@Example.org', 'Ada Lovelace', '+44 20 7946 0018', 1001, 'hush-hush',
   'likes 100% cotton_and silk', '{"shoe": "size 47", "quote": "say \\"hi\\""}', '{vip,early}',
   49.90, '1815-12-10', '2026-11-20 23:30+00', '2026-11-20 08:00', '198.18.0.7',
   '60550688-a084-44e6-a4e4-b3af423bc40f', 'glad'),
  (2, 'omar@example.org', 'عمر إبراهيم', '020 7946 0111', 4711, NULL, E'back\\\\slash', NULL, NULL,
   1234.00, NULL, '2026-11-21 00:00+00', NULL, '2001:db8::1', NULL, NULL),
  (3, 'mueller@example.org', 'MÜLLER Jörg', NULL, NULL, NULL, '100x cotton and', NULL, NULL, 5,
   NULL, NULL, NULL, NULL, NULL, 'sad');
INSERT INTO app.lines VALUES (4711, 1, 'a lamp'), (4711, 2, 'a mug'), (3, 1, 'a chair');
INSERT INTO app.loose VALUES ('Ada''s notes', 3);
"""


@pytest.fixture
def people(governed: str, execute: Execute) -> None:
    execute(PEOPLE.replace("%", "%%"), [])


def find(text: str, **more: Any) -> Found:
    return record_find(text, **{"seconds": ENOUGH, **more})


def ids(text: str, **more: Any) -> list[str]:
    """`people 4711` of each hit, the best first."""
    found = find(text, **more)
    assert found.complete, found.missed
    return [f"{hit.table.name} {hit.record_id}".strip() for hit in found.hits]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    "text",
    [
        "ada.lovelace@example.org",
        "Ada.Lovelace@Example.org",
        "lovelace@ex",
        "LOVELACE ADA",
        "+44 20 7946 0018",
        "020 7946 0018",
        "2079460018",
        "10 Dec 1815",
        "1815-12-10",
        "2026-11-20 23:30",
        "60550688-A084-44E6-A4E4-B3AF423BC40F",
        "60550688a08444e6a4e4b3af423bc40f",
        "198.18.0.7",
        "49.90",
        "49,9",
        "100% cotton_and",
        "size 47",
        'say "hi"',
        "early",
    ],
)
def test_by_whatever_somebody_knows(text: str) -> None:
    assert ids(text, tables=[TableName("app", "people")]) == ["people 4711"]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hush-hush", []),  # A token opens something.
        ("glad", []),
        ("100_ cotton", []),
        ("c%n", []),
        ("back\\slash", ["people 2"]),
        ("back\\\\slash", []),
        ("müller", ["people 3"]),
        ("jörg müller", ["people 3"]),
        ("إبراهيم", ["people 2"]),
        ("1,234", ["people 2"]),
        ("2026-11-21", ["people 2"]),
        ("2026-13-45", []),
        ("9999-12-31", []),
        ("0001-01-01", []),
        ("99999999999999999999", []),
        ("2001:db8:0:0::1", ["people 2"]),
        ("4711,2", ["lines 4711,2"]),
        ('["4711","2"]', ["lines 4711,2"]),
        ("Ada's notes", ["loose"]),
        ("a", []),
        ("471", []),
        ("100", ["people 4711", "people 3"]),  # A number of its own, and not 1001.
        ("'; DROP TABLE app.people; --", []),
    ],
)
def test_and_by_nothing_else(text: str, expected: list[str]) -> None:
    found = [each.replace('["4711","2"]', "4711,2") for each in ids(text)]
    assert found == expected


@pytest.mark.usefixtures("people")
def test_the_key_comes_first_then_what_people_know_then_what_refers() -> None:
    found = find("4711")
    assert [(str(hit.table), hit.record_id, hit.fit, hit.by) for hit in found.hits] == [
        ("app.people", "4711", Fit.KEY, ("id",)),
        ("app.people", "2", Fit.EXACT, ("Order no",)),
        ("app.lines", '["4711","1"]', Fit.REFERS, ("person",)),
        ("app.lines", '["4711","2"]', Fit.REFERS, ("person",)),
    ]
    first = found.hits[0]
    assert first.values[0] == ("name", "Ada Lovelace")
    assert [place.kind for place in first.places] == ["live"]
    assert [hit.record_id for hit in find("#1001").hits] == ["4711"]


@pytest.mark.usefixtures("people")
def test_too_many_are_told_to_be_more(execute: Execute) -> None:
    execute(
        "INSERT INTO app.people (id, name) SELECT n, 'Twin ' || n FROM generate_series(10, 60) n"
    )
    found = find("twin", limit=5)
    assert len(found.hits) == 5
    assert found.more == (TableName("app", "people"),)
    exact = find("Twin 33", limit=5)
    assert [hit.record_id for hit in exact.hits] == ["33"]


@pytest.mark.usefixtures("people")
def test_what_there_was_no_time_for_is_said(execute: Execute) -> None:
    execute(
        "INSERT INTO app.people (id, name) SELECT n, repeat('x', 200) || n"
        " FROM generate_series(10000, 60000) n"
    )
    found = record_find("nowhere to be seen", seconds=0.001)
    assert not found.complete
    assert "app.people" in {each.what for each in found.missed}
    assert {each.why for each in found.missed} == {"there was no time"}
    # Whoever goes on with the session has the time limit that was there before.
    assert execute("SHOW statement_timeout") == [("0",)]


@pytest.mark.usefixtures("people")
def test_the_text_stands_in_no_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL logs statements that are slow or cancelled: what was typed is bound apart."""
    sent: list[str] = []
    original = psycopg.Cursor.execute

    def execute_seen(self: Any, query: Any, values: Any = None, **more: Any) -> Any:
        sent.append(query if isinstance(query, str) else query.as_string(self.connection))
        return original(self, query, values, **more)

    monkeypatch.setattr(psycopg.Cursor, "execute", execute_seen)
    find("ada.lovelace@example.org")
    assert any("ILIKE" in query for query in sent)
    assert not [query for query in sent if "lovelace" in query.lower()]


@pytest.mark.usefixtures("people")
def test_the_command_tells_people_and_machines(execute: Execute) -> None:
    out = StringIO()
    call_command("record_find", "Ada Lovelace", seconds=ENOUGH, stdout=out)
    said = out.getvalue()
    assert "app.people 4711  Ada Lovelace, Ada.Lovelace@Example.org" in said
    assert "1 record, in" in said
    out = StringIO()
    call_command("record_find", "nobody at all", json=True, seconds=ENOUGH, stdout=out)
    document = json.loads(out.getvalue())["find"]
    assert (document["hits"], document["complete"], document["not_looked_at"]) == ([], True, [])
    assert "nobody" not in out.getvalue()
    for wrong in (["a\0b"], ["  "], ["x" * 1001], ["x", "--limit=0"], ["x", "--seconds=0"]):
        with pytest.raises(CommandError) as raised:
            call_command("record_find", *wrong, stdout=StringIO())
        assert raised.value.returncode == 2
    with pytest.raises(CommandError, match="no table"):
        call_command("record_find", "x", "--table", "nothing", stdout=StringIO())


ODD = st.text(max_size=60) | st.sampled_from(
    ["%", "_", "\\", "'", '"', "%%", "\x00", "\ud800", "9" * 400, "-0", "1e9", "NaN", "infinity",
     "2026-02-30", "31.02.2026", "24:00", "::", "fe80::1%eth0", "[", "[]", '["a"', "[1,[2]]", ",",
     "{}", "null", "true", "٤٧١١", "İ", "ß", "１２３", "\u2028", "%s", "%(text)s", "$1", "1_000"]
)  # fmt: skip


@pytest.mark.usefixtures("people")
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=ODD)
@example(text="%")
@example(text="Ada_Lovelace")
def test_odd_texts_neither_fail_nor_match_what_they_are_not(text: str) -> None:
    found = find(text)
    assert bool(found.problem) == bool(asked(text).problem)
    for hit in found.hits:
        ((row,),) = _rows(hit.table, hit.record_id if hit.keyed else None)
        assert _has(json.loads(row), text.strip()), (text, hit)


def _rows(table: TableName, record_id: str | None) -> list[tuple[str]]:
    where = {
        "people": "t.id::text = %s",
        "lines": "to_json(ARRAY[person::text, number::text])::text = %s",
    }
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT to_jsonb(t)::text FROM app.{table.name} t"
            f" WHERE {where.get(table.name, '%s IS NULL')}",
            [record_id],
        )
        return list(cursor.fetchall())


def _has(row: dict[str, Any], text: str) -> bool:
    """Somebody who reads the row says that the text is in it."""
    values = [str(value) for name, value in row.items() if name != "token" and value is not None]
    small = [value.casefold() for value in values]
    folded = [value.lower() for value in values]
    words = text.casefold().split()
    digits = "".join(each for each in text if each in "0123456789").lstrip("0")
    number = value_of(text, "numeric")
    return (
        any(all(word in value for word in words) for value in small)
        or any(text.lower() in value for value in folded)
        or any(digits and digits in "".join(filter(str.isdigit, value)) for value in values)
        or (number is not None and any(value_of(v, "numeric") == number for v in values))
        or asked(text).span is not None
        or bool(asked(text).address)
    )


def test_what_a_text_can_be_read_as() -> None:
    assert asked(" 17.02.2031 ").day == date(2031, 2, 17)
    assert asked("1,234").decimals == (Decimal("1.234"), Decimal(1234))
    assert asked("#4711").integer == 4711
    assert asked("32768").integer == 32768
    assert value_of("32768", "int2") is None
    assert value_of("-32768", "int2") == "-32768"
    assert literal("50%_\\") == "50\\%\\_\\\\"
    assert asked("2026-11-20").digits == ""
    assert asked("\x00").problem
    assert asked("\ud800").problem
