"""What is read from SQL text, and what is refused with which reason."""

from __future__ import annotations

from decimal import Decimal

import pytest

from operations.conditions.describe import describe
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.nodes import depth
from operations.conditions.parse import parse_condition
from operations.conditions.structure import And, Comparison, Condition, Not, Now, Or
from operations.exceptions import UsageError
from tests.operations.conditions import table_of

USERS = table_of(
    id="int8",
    status="text",
    short="varchar",
    flagged="bool",
    read_at="timestamptz",
    local="timestamp",
    born="date",
    price="numeric",
    span="interval",
    User="text",
    between="bool",
    now="bool",
    date="date",
)
OPEN = Comparison("status", "=", "open")
FLAGGED = Comparison("flagged", "=", True)
READ = Comparison("read_at", "is not null")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("read_at IS NULL", Comparison("read_at", "is null")),
        ("status = 'open' AND NOT flagged", And((OPEN, Not(FLAGGED)))),
        ("STATUS='open'and not(FLAGGED)", And((OPEN, Not(FLAGGED)))),
        ("status = 'open' OR flagged AND read_at IS NOT NULL", Or((OPEN, And((FLAGGED, READ))))),
        ("(status = 'open' OR flagged) AND read_at IS NOT NULL", And((Or((OPEN, FLAGGED)), READ))),
        ("NOT status = 'open' AND flagged", And((Not(OPEN), FLAGGED))),
        ("NOT (status = 'open' AND flagged)", Not(And((OPEN, FLAGGED)))),
        ("NOT NOT flagged", Not(Not(FLAGGED))),
        ("((flagged))", FLAGGED),
        ("flagged AND (flagged AND (flagged))", And((FLAGGED, FLAGGED, FLAGGED))),
        ("flagged = true", FLAGGED),
        ("flagged = FALSE", Comparison("flagged", "=", False)),
        ("flagged IS NOT FALSE", Comparison("flagged", "is not false")),
        ("users.flagged", FLAGGED),
        ('shop."users".flagged', FLAGGED),
        ("\"User\" <> 'it''s'", Comparison("User", "<>", "it's")),
        ("status != 'a\\b'", Comparison("status", "<>", "a\\b")),
        ("status = 'a\nb'", Comparison("status", "=", "a\nb")),
        ("id IN (1, -2, +3)", Comparison("id", "in", (1, -2, 3))),
        ("id NOT IN ((1))", Comparison("id", "not in", (1,))),
        ("id BETWEEN 1 AND 5 AND flagged", And((Comparison("id", "between", (1, 5)), FLAGGED))),
        ("id NOT BETWEEN 1 AND 5", Not(Comparison("id", "between", (1, 5)))),
        ("id<-5", Comparison("id", "<", -5)),
        ("5 >= id", Comparison("id", "<=", 5)),
        ("price = 1.50", Comparison("price", "=", Decimal("1.50"))),
        ("price = -.5e-3", Comparison("price", "=", Decimal("-0.0005"))),
        ("status LIKE '10%'", Comparison("status", "like", "10%")),
        ("status NOT ILIKE '%\\%'", Comparison("status", "not ilike", "%\\%")),
        ("status IS DISTINCT FROM 'x'", Comparison("status", "is distinct from", "x")),
        ("id IS NOT DISTINCT FROM 5", Comparison("id", "is not distinct from", 5)),
        ("read_at > now()", Comparison("read_at", ">", Now())),
        ("now() < read_at", Comparison("read_at", ">", Now())),
        ("read_at > CURRENT_TIMESTAMP", Comparison("read_at", ">", Now())),
        ("read_at > now() - interval '30 days'", Comparison("read_at", ">", Now("-30 days"))),
        ("read_at > (now() - '1 DAY'::interval)", Comparison("read_at", ">", Now("-1 day"))),
        (
            "born BETWEEN now() + INTERVAL '1 year 06 months' AND now()",
            Comparison("born", "between", (Now("+1 year 6 months"), Now())),
        ),
        ("born > date '2024-01-01'", Comparison("born", ">", "2024-01-01")),
        ("read_at > '2024-01-01'::date", Comparison("read_at", ">", "2024-01-01")),
        ("id = '5'::bigint", Comparison("id", "=", "5")),
        ("id = '5'::pg_catalog.int8", Comparison("id", "=", "5")),
        ("short = 'x'::text", Comparison("short", "=", "x")),
        ("span > interval '1 day'", Comparison("span", ">", "1 day")),
        (
            "date > '2024-01-01' AND now",
            And((Comparison("date", ">", "2024-01-01"), Comparison("now", "=", True))),
        ),
        ('"between"', Comparison("between", "=", True)),
    ],
)
def test_a_condition_is_read_as_sql_reads_it(text: str, condition: Condition) -> None:
    assert repr(parse_condition(text, USERS)) == repr(condition)
    assert repr(parse_condition(describe(condition), USERS)) == repr(condition)


@pytest.mark.parametrize(
    ("text", "piece", "reason"),
    [
        ("", "", "ends too early"),
        ("   ", "", "ends too early"),
        ("status =", "status =", "ends too early; here a value"),
        ("status = 'open' AND", "status = 'open' AND", "ends too early; here a column"),
        ("(flagged", "(flagged", "closing parenthesis"),
        ("flagged)", ")", "the end is expected"),
        ("staus = 'open'", "staus", "no column staus. Did you mean status?"),
        ("Status = 'open' AND user = 'x'", "user = 'x'", 'write "user"'),
        ("ctid = '(0,1)'", "ctid", "no column ctid"),
        ("orders.flagged", "orders.flagged", "only columns of shop.users"),
        ("crm.users.flagged", "crm.users.flagged", "only columns of shop.users"),
        # Other columns, calculations, functions, casts.
        ("id = price", "price", "not with another column"),
        ("id + 1 = 2", "id + 1 = 2", "calculations"),
        ("id = 1 + 1", "+ 1", "calculations"),
        ("read_at + interval '1 day' > now()", "read_at + ", "calculations"),
        ("lower(status) = 'x'", "lower(status)", "no function"),
        ("\"lower\"(status) = 'x'", '"lower"(status)', "no function"),
        ("pg_catalog.now() > read_at", "pg_catalog.now()", "only columns of shop.users"),
        ("status = lower('x')", "lower('x')", "no function"),
        ("now(1) > read_at", "now(1)", "no function"),
        ("coalesce(flagged, true)", "coalesce(", "no function"),
        ("pg_sleep(10) IS NULL", "pg_sleep(10)", "no function"),
        ("id::text = '5'", "id::text", "cast of a column"),
        ("cast(id as text) = '5'", "cast(", "casts are not understood"),
        ("id = 5::int8", "::int8", "casts"),
        ("status = 'x'::varchar(3)", "(3)", "length"),
        ("status = char 'xyz'", "char 'xyz'", "cuts the text"),
        ("read_at > timestamp '2024-01-01'", "timestamp '2024-01-01'", "leave the value's type"),
        ("read_at > date '2024-01-01 12:00'", "date '2024-01-01 12:00'", "leave the value's type"),
        ("born > timestamptz '2024-01-01'", "timestamptz '2024-01-01'", "leave the value's type"),
        ("status = 'x'::shop.text", "'x'::shop.text", "leave the value's type"),
        # Time.
        ("born > current_date", "current_date", "only now()"),
        ("read_at > now() - 5", "5", "interval '30 days'"),
        ("read_at > now() - '30 days'", "'30 days'", "interval '30 days'"),
        ("read_at > now() - interval '30'", "interval '30'", "whole numbers and units"),
        ("read_at > now() - interval '1.5 days'", "interval '1.5 days'", "whole numbers and units"),
        ("read_at > now() - interval '2 fortnights'", "-2 fortnights", "whole numbers and units"),
        ("read_at > now() - interval '-1 day'", "interval '-1 day'", "whole numbers and units"),
        ("read_at > now() - interval '1 day' - interval '1 day'", "- interval", "calculations"),
        ("read_at > now() - read_at", "read_at", "interval '30 days'"),
        # Subqueries and other words of SQL.
        ("id IN (SELECT 1)", "SELECT 1", "subqueries"),
        ("EXISTS (SELECT 1)", "EXISTS (SELECT 1)", "subqueries"),
        ("(SELECT true)", "SELECT true", "subqueries"),
        ("id = (SELECT 1)", "SELECT 1", "subqueries"),
        ("id = ANY ('{1}')", "ANY (", "write in"),
        ("id = ANY (ARRAY[1])", "[1]", "arrays"),
        ("CASE WHEN flagged THEN true END", "CASE", "and, or and not"),
        ("status COLLATE \"C\" = 'x'", "COLLATE", "collate"),
        ("status SIMILAR TO 'x'", "SIMILAR", "write like"),
        ("status ISNULL", "ISNULL", "write is null"),
        ("status LIKE 'x' ESCAPE '!'", "ESCAPE", "the end is expected"),
        ("flagged IS UNKNOWN", "UNKNOWN", "null, true, false or distinct from"),
        ("id BETWEEN SYMMETRIC 5 AND 1", "SYMMETRIC", "not understood"),
        ("id NOT NULL", "NULL", "in, like, ilike or between"),
        ("row(1) = row(1)", "row(1)", "no function"),
        # Values that are none.
        ("status = NULL", "NULL", "write is null"),
        ("id IN (1, NULL)", "NULL", "write is null"),
        ("id IS DISTINCT FROM NULL", "NULL", "write is null"),
        ("NULL", "NULL", "write is null"),
        ('status = "open"', '"open"', "not with another column"),
        ("status LIKE 5", "status like", "a pattern is a text"),
        ("status LIKE 'a\\'", "status like", "lone backslash"),
        ("id IN ()", ")", "a value is expected"),
        ("id IN (1,)", ")", "a value is expected"),
        ("id IN 1", "1", "in parentheses"),
        ("id = (1, 2)", ", 2)", "not a row"),
        ("(id, price) = (1, 2)", ", price", "an operator is expected"),
        ("read_at IN (now())", "read_at in", "use or"),
        ("id = - -5", "-5", "a number is expected"),
        ("id = 1_000", "1_000", "no number"),
        ("id = 0x1F", "0x1F", "no number"),
        ("id = 1" + "0" * 1001, "1000", "at most 1000 digits"),
        ("price = 1e99999999999999999999", "1e9", "too large"),
        # No condition at all, or more than one.
        ("status", "status", "status is no boolean"),
        ("true", "true", "a value alone"),
        ("1 = 1", "1 = 1", "two values"),
        ("id = 1 = 2", "= 2", "the end is expected"),
        ("id = 1 IS TRUE", "IS TRUE", "the end is expected"),
        ("id < 1 < 2", "< 2", "the end is expected"),
        ("flagged flagged", "flagged", "an operator is expected"),
        ("flagged, flagged", ", flagged", "an operator is expected"),
        ("flagged;", ";", "semicolon"),
        ("flagged; DROP TABLE shop.users", "; DROP TABLE", "semicolon"),
        ("NOT", "NOT", "ends too early"),
        ("(" * 2000 + "flagged" + ")" * 2000, "((((", "nested more than 30 deep"),
        ("NOT " * 31 + "flagged", "NOT NOT", "nested more than 30 deep"),
        ("NOT " * 2000 + "flagged", "NOT NOT", "nested more than 30 deep"),
        ("id = " + "(" * 2000 + "1", "ends too early", "a value is one value"),
        # Lexical matters.
        ("flagged -- and more", "--", "comments"),
        ("flagged /* and more */", "/*", "comments"),
        ("flagged /* /* nested */ */ AND flagged", "/*", "comments"),
        ("id =-- 5\n1", "=--", "comments"),
        ("id = $1", "$1", "parameters"),
        ("id = :id", ":id", "parameters"),
        ("id = %s", "%", "parameters"),
        ("id = ?", "?", "parameters"),
        ("id @> 5", "@>", "this operator is not understood"),
        ("status ~ 'x'", "~", "this operator is not understood"),
        ("status || 'x' = 'y'", "||", "this operator is not understood"),
        ("id == 5", "==", "this operator is not understood"),
        ("id <=> 5", "<=>", "this operator is not understood"),
        ("id OPERATOR(pg_catalog.=) 5", "OPERATOR", "an operator is expected"),
        ("status = E'a\\'b'", "E'", "plain quotes"),
        ("status = U&'d\\0061'", "U&'", "plain quotes"),
        ('U&"st\\0061tus" IS NULL', 'U&"', "plain quotes"),
        ("status = N'x'", "N'", "plain quotes"),
        ("status = B'1'", "B'", "plain quotes"),
        ("status = x'1F'", "x'", "plain quotes"),
        ("status = $$x$$", "$$x$$", "dollar quotes"),
        ("status = $a$x$a$", "$a$x$a$", "dollar quotes"),
        ("status = 'a' 'b'", "'b'", "two texts"),
        ("status = 'a'\n'b'", "'b'", "two texts"),
        ("status = 'open", "'open", "never closed"),
        ("status = 'it's'", "'", "never closed"),
        ('"status = 1', '"status = 1', "never closed"),
        ('"" = 1', '""', "never closed, or nothing"),
        ("status = [1]", "[1]", "arrays"),
        ("status = {fn x}", "{fn x}", "not understood"),
        ("status = \\x", "\\x", "not understood"),
        ("status\u00a0= 'x'", "no column", "no column"),
        ("status\v= 'x'", "", "not understood"),
        ("status = 'a\0b'", "", "NUL"),
        ("status = '\ud800'", "", "half a character"),
        ("status = '" + "x" * 100_000 + "'", "status", "at most 100000 characters"),
    ],
)
def test_what_is_outside_is_refused_with_the_piece_and_the_reason(
    text: str, piece: str, reason: str
) -> None:
    with pytest.raises(ConditionRefused) as caught:
        parse_condition(text, USERS)
    assert isinstance(caught.value, UsageError)
    assert reason in str(caught.value)
    assert " ".join(piece.split()) in str(caught.value)


def test_the_deepest_structure_is_described_so_that_it_reads_back() -> None:
    deepest: Condition = OPEN
    for level in range(30):
        deepest = Not(deepest) if level % 2 else Or((And((deepest, FLAGGED)), READ))
        deepest = deepest if depth(deepest) <= 30 else Not(FLAGGED)
    assert parse_condition(describe(deepest), USERS) == deepest
    nots: Condition = OPEN
    for _ in range(30):
        nots = Not(nots)
    assert parse_condition(describe(nots), USERS) == nots


def test_a_wide_condition_is_read() -> None:
    text = " OR ".join(f"id = {number} AND flagged" for number in range(2000))
    condition = parse_condition(text, USERS)
    assert isinstance(condition, Or)
    assert len(condition.parts) == 2000
    assert parse_condition(describe(condition), USERS) == condition


def test_a_long_condition_is_shown_by_its_beginning() -> None:
    with pytest.raises(ConditionRefused) as caught:
        parse_condition(f"lower(status) = '{'x' * 500}'", USERS)
    assert len(str(caught.value)) < 200
