"""Values are judged by PostgreSQL, by the column's own type; attacks stay values."""

from __future__ import annotations

import pytest
from django.db import NotSupportedError, connection, transaction
from django.test.utils import CaptureQueriesContext
from psycopg import sql

from operations.catalogue.read import table
from operations.catalogue.types import Table
from operations.conditions.check import check_condition
from operations.conditions.describe import describe
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.parse import parse_condition
from operations.conditions.render import delete_predicate, render
from operations.conditions.structure import And, Comparison, Condition, Not, Now, Or
from tests.operations.statements import execute, fetch

pytestmark = [pytest.mark.sql, pytest.mark.django_db]


@pytest.fixture
def users() -> Table:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TYPE shop.status AS ENUM ('open', 'closed')",
        "CREATE TYPE shop.pair AS (a int, b text)",
        "CREATE DOMAIN shop.email AS text CHECK (VALUE LIKE '_%@_%')",
        "CREATE TABLE shop.users (id int, name text, email shop.email, status shop.status,"
        " flagged bool, born date, seen_at timestamptz, hour time, ip inet, price numeric(6,2),"
        " doc json, couple shop.pair, tags text[], period tstzrange, place point)",
        "INSERT INTO shop.users (id, name) SELECT i, 'user ' || i FROM generate_series(1, 5) AS i",
    )
    return table("shop.users")


@pytest.mark.parametrize(
    "text",
    [
        "id = 5 AND id IN (1, '2') AND id BETWEEN -1 AND 7",
        "name = '' OR name LIKE 'a%' OR email ILIKE '%@x' OR name > 'b'",
        "email = 'not an address'",
        "status = 'open' AND status < 'closed'",
        "flagged AND flagged IS NOT TRUE AND flagged > 'f'",
        "born < now() - interval '6 years' AND born = '2024-02-29' AND born < 'infinity'",
        "seen_at > '2024-01-01 10:00+02' AND seen_at <= now()",
        "ip = '::1' AND price > 1.005 AND price <> 'NaN'",
        "doc IS NULL AND couple IS NOT NULL AND place IS NULL",
        "tags = '{a,now}' AND period = '[2024-01-01,)'",
    ],
)
def test_values_of_the_columns_types_are_taken(users: Table, text: str) -> None:
    check_condition(parse_condition(text, users), users)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Comparison("naem", "=", "x"), "no column naem. Did you mean name?"),
        (Comparison("xmin", "=", "1"), "no column xmin"),
        (Comparison("status", "=", "opne"), 'invalid input value for enum shop.status: "opne"'),
        (Comparison("id", "=", "five"), 'invalid input syntax for type integer: "five"'),
        (Comparison("id", "=", 2**31), "out of range for type integer"),
        (Comparison("id", "in", (1, 2, "x")), 'invalid input syntax for type integer: "x"'),
        (Comparison("id", "between", (1, "x")), 'invalid input syntax for type integer: "x"'),
        (Comparison("born", "=", "2023-02-29"), "out of range"),
        (Comparison("ip", "=", "10.0.0.0/33"), "invalid input syntax for type inet"),
        (Comparison("tags", "=", "a,b"), "malformed array literal"),
        (Comparison("doc", "=", "{}"), "operator does not exist"),
        (Comparison("place", "in", ("(1,2)",)), "operator does not exist"),
        (Comparison("place", "is distinct from", "(1,2)"), "operator does not exist"),
        (Comparison("couple", "=", "(1,x)"), "only is null and is not null"),
        (Comparison("id", "like", "5%"), "only a text can be matched"),
        (Comparison("status", "like", "o%"), "only a text can be matched"),
        (Comparison("name", "is true"), "only a boolean is true"),
        (Comparison("id", "is not false"), "only a boolean is false"),
        (Comparison("name", "=", True), "only a boolean can be compared with true or false"),
        (Comparison("flagged", "=", 1), "compare it with true or false"),
        (Comparison("name", "=", 5), "write the value in quotes"),
        (Comparison("name", "=", Now()), "only a date or timestamp"),
        (Comparison("hour", "<", Now("-1 hour")), "only a date or timestamp"),
        (Comparison("seen_at", "<", Now("-999999999 years")), "out of range"),
        (Comparison("seen_at", "<", "yesterday"), "a fixed date or time"),
        (Comparison("born", "=", " Today"), "a fixed date or time"),
        (Comparison("hour", "=", "now"), "a fixed date or time"),
        (Comparison("period", "=", "[now,infinity)"), "a fixed date or time"),
    ],
)
def test_other_values_columns_and_operators_are_refused_with_the_reason(
    users: Table, condition: Comparison, reason: str
) -> None:
    for whole in (condition, Not(Or((Comparison("id", "=", 1), And((condition, condition)))))):
        with pytest.raises(ConditionRefused) as caught:
            check_condition(whole, users)
        assert reason in str(caught.value)
    # The transaction can go on.
    assert fetch("SELECT 1") == [(1,)]


@pytest.mark.django_db(transaction=True)
def test_a_check_outside_a_transaction_leaves_none_open() -> None:
    try:
        execute("CREATE SCHEMA shop", "CREATE TABLE shop.t (id int)")
        with pytest.raises(ConditionRefused):
            check_condition(Comparison("id", "=", "x"), table("shop.t"))
        assert not connection.in_atomic_block
        assert connection.connection.info.transaction_status.name == "IDLE"
    finally:
        execute("DROP SCHEMA shop CASCADE")


@pytest.mark.superuser
def test_a_check_needs_no_right_on_the_table(users: Table) -> None:
    with transaction.atomic():
        execute("CREATE ROLE condition_checker", "SET LOCAL ROLE condition_checker")
        check_condition(parse_condition("id = 5 AND flagged", users), users)
        execute("RESET ROLE")


def test_a_pattern_is_refused_where_the_collation_cannot_match_it() -> None:
    try:
        execute(
            "CREATE SCHEMA shop",
            "CREATE COLLATION shop.loose (provider = icu, locale = 'und', deterministic = false)",
        )
    except NotSupportedError:
        pytest.skip("This PostgreSQL is built without ICU.")
    execute("CREATE TABLE shop.t (name text COLLATE shop.loose)")
    found = table("shop.t")
    check_condition(Comparison("name", "=", "x"), found)
    version = int(fetch("SELECT current_setting('server_version_num')")[0][0])
    if version < 180_000:
        with pytest.raises(ConditionRefused, match="nondeterministic collations"):
            check_condition(Comparison("name", "like", "x%"), found)
    else:
        check_condition(Comparison("name", "like", "x%"), found)


ATTACKS = [
    "'; DROP TABLE shop.users; --",
    "''; DROP TABLE shop.users; --",
    "\\'; DROP TABLE shop.users; --",
    "\\\\'; DROP TABLE shop.users; --",
    "x' OR '1'='1",
    "x' OR 1=1 /* ",
    "*/ OR true /* /* nested */",
    "$$; DROP TABLE shop.users; $$",
    "\u2019; DROP TABLE shop.users; \u2019",
    "\u02bc OR true --",
    "\uff07 OR true --",
    "%s %(x)s %% {} {0}",
    "\\0025 \\u0027 U&'\\0027'",
    "E'\\x27'",
    "\n'\n",
    "\u202e'--",
    "x'::text || (SELECT 'y') || '",
    "\\",
    "'" * 7,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_as_a_value_is_only_a_value(users: Table, attack: str) -> None:
    execute("INSERT INTO shop.users (id) VALUES (99)")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop.users SET name = %s WHERE id = 99", [attack])
    for condition in (
        Comparison("name", "=", attack),
        Comparison("name", "in", (attack, attack)),
        Comparison("name", "between", (attack, attack)),
        Comparison("name", "is not distinct from", attack),
        Not(Comparison("name", "<>", attack)),
        Comparison("name", "ilike", attack.replace("\\", "\\\\").replace("%", "\\%")),
    ):
        assert parse_condition(describe(condition), users) == condition
        check_condition(condition, users)
        for parameters in (None, []):
            assert _ids(render(condition, users), parameters) == [99]
            kept = sql.SQL("NOT {}").format(delete_predicate(condition, users))
            assert set(_ids(kept, parameters)) <= {1, 2, 3, 4, 5, 99}
    assert fetch("SELECT count(*) FROM shop.users") == [(6,)]


def _ids(where: sql.Composable, parameters: list[object] | None) -> list[int]:
    query = sql.SQL("SELECT id FROM shop.users AS users WHERE {}").format(where)
    return [row[0] for row in fetch(query, parameters)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_as_a_column_alias_type_or_text_is_refused_or_a_name(
    users: Table, attack: str
) -> None:
    condition: Condition = Comparison(attack, "=", "x")
    for refusing in (
        lambda: check_condition(condition, users),
        lambda: render(condition, users),
        lambda: parse_condition(attack, users),
        lambda: parse_condition(f"name = {attack}", users),
        lambda: parse_condition(f"name = 'x'::{attack}", users),
        lambda: parse_condition(f"seen_at > now() - interval {attack}", users),
    ):
        with pytest.raises(ConditionRefused):
            refusing()
    where = render(Comparison("name", "=", "user 1"), users, alias=attack[:20])
    name = sql.Identifier(attack[:20]) if "%" not in attack else None
    if name is not None:
        query = sql.SQL("SELECT count(*) FROM shop.users AS {} WHERE {}").format(name, where)
        assert fetch(query) == [(1,)]


def test_checking_works_while_queries_are_logged(users: Table) -> None:
    with CaptureQueriesContext(connection) as queries:
        check_condition(parse_condition("name LIKE '10%' AND id = 5", users), users)
    assert any("OPERATOR" in query["sql"] for query in queries.captured_queries)
