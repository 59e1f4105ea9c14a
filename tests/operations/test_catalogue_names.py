"""Names are read and written as PostgreSQL reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from operations.catalogue.exceptions import BadTableName
from operations.catalogue.identifiers import Identifier
from operations.catalogue.names import parse_table_name, quoted
from operations.catalogue.types import TableName
from tests.operations.statements import execute, fetch

ODD_NAMES = [
    "Users",
    "my table",
    "Tab.le",
    'say "hi"',
    '"',
    "it's",
    "select",
    "user",
    "left",
    "übung",
    "表",
    "1st",
    "$cash",
    "a-b",
    "100%",
    "%s",
    "%(oids)s",
    "back\\slash",
    "semi;colon--",
    "x" * 63,
    "É" * 31,
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("users", (None, "users")),
        ("  users\n", (None, "users")),
        ("Users", (None, "users")),
        ("shop.users", ("shop", "users")),
        ("SHOP.Users$1", ("shop", "users$1")),
        ('"My Schema"."Tab.le"', ("My Schema", "Tab.le")),
        ('shop."say ""hi"""', ("shop", 'say "hi"')),
        ("ÉTÉ", (None, "ÉtÉ")),
        ("order", (None, "order")),
    ],
)
def test_a_table_name_is_read_as_postgresql_reads_it(
    text: str, expected: tuple[str | None, str]
) -> None:
    assert parse_table_name(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "a.", ".a", "a.b.c", "a b", '"a', 'a"b"', '""', '"".a', "1a", "a-b", "a;b"),
        *("a--b", "a(b)", "a'b", 'U&"a"', "a . b", '"a\0b"'),
    ],
)
def test_anything_else_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(BadTableName, match=r'shop\.users, "My Schema"\."Tab\.le"'):
        parse_table_name(text)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
)
def test_every_name_that_is_written_reads_back(schema: str, name: str) -> None:
    assert parse_table_name(str(TableName(schema, name))) == (schema, name)


@pytest.mark.parametrize("name", ["users", "_x", "a$1", "name", "position", "timestamp", "values"])
def test_quotes_are_left_out_where_they_are_not_needed(name: str) -> None:
    assert quoted(name) == name


@pytest.mark.sql
@pytest.mark.django_db
def test_exactly_the_words_that_the_parser_reserves_are_quoted() -> None:
    reserved = {
        word: category in "RT"
        for word, category in fetch("SELECT word, catcode FROM pg_get_keywords()")
    }
    assert len(reserved) > 400
    # A word reserved by a newer server only is quoted on older ones too: no harm.
    newer = {"system_user"}
    assert {word for word in reserved if (quoted(word) != word)} - newer == {
        word for word in reserved if reserved[word]
    } - newer


@pytest.mark.sql
@pytest.mark.django_db
@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_written_name_means_itself_to_postgresql(name: str) -> None:
    execute("CREATE SCHEMA odd")
    table = TableName("odd", name)
    execute(f"CREATE TABLE {table} ({quoted(name)} int)")
    assert fetch(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'odd'::regnamespace AND a.attnum > 0"
    ) == [(name, name)]


@pytest.mark.sql
@pytest.mark.django_db
@pytest.mark.parametrize("parameters", [None, []], ids=["without parameters", "with parameters"])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_identifier_in_a_statement_means_itself(
    name: str, parameters: list[object] | None
) -> None:
    execute("CREATE SCHEMA odd")
    table, column = TableName("odd", name), Identifier(name)
    execute(sql.SQL("CREATE TABLE {} ({} int)").format(table.sql, column))  # type: ignore[arg-type]
    assert fetch(sql.SQL("SELECT {} FROM {}").format(column, table.sql), parameters) == []
    assert fetch("SELECT relname FROM pg_class WHERE relname = %s", [name]) == [(name,)]
