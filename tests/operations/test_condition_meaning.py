"""A condition means to us what its text means to PostgreSQL, row by row, NULL included."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from operations.catalogue.read import table
from operations.catalogue.types import Table
from operations.conditions.check import check_condition
from operations.conditions.describe import describe
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.parse import parse_condition
from operations.conditions.render import delete_predicate, render
from operations.conditions.structure import Comparison, Condition, from_json, to_json
from tests.effort import examples
from tests.operations.conditions import ROWS, conditions, create_table
from tests.operations.statements import execute, fetch

pytestmark = [pytest.mark.sql, pytest.mark.django_db]
random_conditions = settings(
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def t() -> Table:
    return create_table()


def _read_otherwise(text: str, condition: Condition, table: Table) -> list[tuple[object, ...]]:
    """The rows where PostgreSQL, reading the text, answers otherwise than our rendering."""
    return fetch(
        sql.SQL(
            "SELECT id, {text}, {ours} FROM shop.t WHERE ({text}) IS DISTINCT FROM {ours}"
        ).format(text=sql.SQL(f"({text})"), ours=render(condition, table))
    )


@random_conditions
@given(condition=conditions())
def test_a_condition_selects_the_rows_that_its_text_selects(t: Table, condition: Condition) -> None:
    check_condition(condition, t)
    assert _read_otherwise(describe(condition), condition, t) == []


@random_conditions
@given(condition=conditions())
def test_a_condition_comes_back_from_its_text_and_from_json(t: Table, condition: Condition) -> None:
    assert repr(parse_condition(describe(condition), t)) == repr(condition)
    assert repr(from_json(to_json(condition))) == repr(condition)


PIECES = [
    *("and", "or", "not", "is", "null", "true", "false", "in", "like", "ilike", "between"),
    *("distinct", "from", "(", ")", ",", "=", "<>", "<", ">=", "-", "+", "::", ".", "t", "shop"),
    *("n", "flagged", "name", "day", "seen_at", '"between"', "1", "2.5", "'1'", "'a'", "'t'"),
    *("now", "now()", "current_timestamp", "interval '1 day'", "date '2024-01-01'", "'2024-01-01'"),
    *("int", "text", "interval", "date", "lower", "select", "any", "unknown", "isnull", "--", ";"),
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The text of a condition with pieces lost, doubled, moved or put in."""
    text = describe(draw(conditions()))
    words = text.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split(" ")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(words) - 1))
        action = draw(st.sampled_from(["lose", "double", "put", "move"]))
        if action == "lose" and len(words) > 1:
            del words[place]
        elif action == "double":
            words.insert(place, words[place])
        elif action == "put":
            words.insert(place, draw(st.sampled_from(PIECES)))
        else:
            words.insert(draw(st.integers(0, len(words) - 1)), words.pop(place))
    return " ".join(words)


# A column's name in the text may be the whole of a predicate, as in `flagged`.
texts = st.one_of(damaged(), st.lists(st.sampled_from(PIECES), max_size=9).map(" ".join))


@settings(random_conditions, max_examples=examples(120))
@given(text=texts)
@example("flagged = true and n = 1 or not name is null")
@example("not n between 1 and 2 and flagged or not flagged is true")
@example("now() < seen_at or '2024-01-01' >= day")
@example("n = -1 or n<-1 or n>=+1 or n=(2)")
@example("day > date '2024-01-01' or seen_at <= '2024-01-01'::date or local = date '2024-01-01'")
@example("t.flagged and shop.t.n <> 1")
@example("ratio = 0.1")
@example("ratio = '0.1'")
@example("ratio in (0.1)")
@example("ratio in (0.1, 0.2)")
@example("ratio between 0.1 and 0.2")
@example("ratio is distinct from 0.1")
@example("score in (0.1, 0.2)")
@example("price = 1.005")
@example("short = 'abcd'")
@example("bits = '10'")
@example("code = 'a  '")
@example("code like 'a  '")
@example("tags in ('{a,b}', '{}')")
@example("flagged in ('t', true)")
def test_what_is_read_at_all_is_read_as_postgresql_reads_it(t: Table, text: str) -> None:
    try:
        condition = parse_condition(text, t)
        check_condition(condition, t)
    except ConditionRefused:
        event("refused")
        return
    event("read")
    assert _read_otherwise(text, condition, t) == []


def test_where_a_condition_is_null_the_row_is_kept() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.n (flagged bool, status text, at timestamptz)",
        "INSERT INTO shop.n SELECT NULL, NULL, NULL FROM generate_series(1, 30)",
    )
    nulls = table("shop.n")
    for text in (
        "flagged",
        "NOT flagged",
        "status = 'open' AND NOT flagged",
        "status <> 'open' OR flagged",
        "status IN ('a', 'b')",
        "status NOT IN ('a', 'b')",
        "status LIKE 'a%'",
        "at > now() - interval '30 days'",
        "at BETWEEN '2024-01-01' AND now()",
        "NOT (at < now() OR status = 'x')",
    ):
        predicate = delete_predicate(parse_condition(text, nulls), nulls, alias="n")
        assert fetch(sql.SQL("SELECT count(*) FROM shop.n WHERE {}").format(predicate)) == [(0,)]
    predicate = delete_predicate(parse_condition("flagged IS TRUE", nulls), nulls)
    assert fetch(sql.SQL("SELECT count(*) FROM shop.n WHERE {}").format(predicate)) == [(30,)]


@random_conditions
@given(condition=conditions())
def test_every_row_is_kept_deleted_or_undecided_and_only_false_deletes(
    t: Table, condition: Condition
) -> None:
    [(kept, undecided, deleted)] = fetch(
        sql.SQL(
            "SELECT count(*) FILTER (WHERE {0}), count(*) FILTER (WHERE {0} IS NULL),"
            " count(*) FILTER (WHERE {1}) FROM shop.t AS a"
        ).format(render(condition, t, alias="a"), delete_predicate(condition, t, alias="a"))
    )
    assert kept + undecided + deleted == ROWS


@pytest.mark.parametrize("parameters", [None, []], ids=["without parameters", "with parameters"])
def test_a_percent_sign_is_a_percent_sign_beside_parameters_too(
    t: Table, parameters: list[object] | None
) -> None:
    condition = parse_condition("\"100%\" = 1 OR name = '50%_' OR name LIKE '\\%'", t)
    predicate = render(condition, t)
    [(found,)] = fetch(
        sql.SQL("SELECT count(*) FROM shop.t WHERE {}").format(predicate), parameters
    )
    [(expected,)] = fetch(
        "SELECT count(*) FROM shop.t WHERE \"100%\" = 1 OR name = '50%_' OR name LIKE '\\%'"
    )
    assert found == expected > 0


def test_a_column_named_as_any_word_of_sql_is_understood() -> None:
    words = [word for (word,) in fetch("SELECT word FROM pg_get_keywords() ORDER BY word")]
    columns = ", ".join(f'"{word}" bool' for word in words)
    execute("CREATE SCHEMA shop", f"CREATE TABLE shop.t (id serial, {columns})")
    found = table("shop.t")
    for word in words:
        for condition in (Comparison(word, "=", True), Comparison(word, "is not null")):
            text = describe(condition)
            assert parse_condition(text, found) == condition
            assert _read_otherwise(text, condition, found) == []


def test_a_domain_over_an_enum_is_compared_though_postgresql_cannot() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TYPE shop.status AS ENUM ('open', 'on hold', 'closed')",
        "CREATE DOMAIN shop.mood AS shop.status",
        "CREATE TABLE shop.t (mood shop.mood)",
        "INSERT INTO shop.t VALUES ('open'), ('closed'), ('closed'), (NULL)",
    )
    found = table("shop.t")
    for text, rows in (
        ("mood = 'closed'", 2),
        ("mood IN ('closed', 'open')", 3),
        ("mood < 'closed'", 1),
        ("mood IS DISTINCT FROM 'closed'", 2),
        ("mood BETWEEN 'open' AND 'on hold'", 1),
    ):
        condition = parse_condition(text, found)
        check_condition(condition, found)
        where = render(condition, found)
        assert fetch(sql.SQL("SELECT count(*) FROM shop.t WHERE {}").format(where)) == [(rows,)]


def test_an_extensions_type_is_compared_with_its_own_operators() -> None:
    if not fetch("SELECT FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("Needs the extension vector.")
    try:
        with transaction.atomic():
            execute("CREATE SCHEMA ext", "CREATE EXTENSION vector SCHEMA ext")
    except DatabaseError:
        pytest.skip("Needs the right to create the extension vector.")
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t (id serial, v ext.vector(3))",
        "INSERT INTO shop.t (v) VALUES ('[1,2,3]'), ('[3,2,1]'), (NULL)",
    )
    found = table("shop.t")
    for text, rows in (
        ("v = '[1,2,3]'", 1),
        ("v IN ('[1,2,3]', '[3,2,1]')", 2),
        ("v IS DISTINCT FROM '[1,2,3]'", 2),
        ("v > '[1,2,3]'", 1),
    ):
        condition = parse_condition(text, found)
        check_condition(condition, found)
        where = render(condition, found)
        assert fetch(sql.SQL("SELECT count(*) FROM shop.t WHERE {}").format(where)) == [(rows,)]
