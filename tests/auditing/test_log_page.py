"""The audit log page by page: every statement that is asked for, once, newest first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from psycopg.sql import SQL, Composable

from auditing.models import ChangeContext, Operation, TrackedTable
from auditing.selectors import log_contexts, log_page
from auditing.selectors.actor_recent import actor_recent
from auditing.selectors.log_contexts import reason_is
from auditing.selectors.log_filter import LogFilter
from auditing.selectors.log_page import Place

from .log_lines import MORNING, change, context, table

pytestmark = pytest.mark.django_db


@pytest.fixture
def orders() -> TrackedTable:
    return table("orders")


@pytest.fixture
def users() -> TrackedTable:
    return table("users")


def pages(asked: LogFilter, size: int = 3) -> list[list[int]]:
    """The numbers on each page to the end."""
    found, before = [], None
    for _ in range(100):
        page = log_page.log_page(asked, before=before, size=size)
        found.append([each.pk for each in page.statements])
        if page.older is None:
            return found
        before = Place.read(str(page.older))
        assert before == page.older
    raise AssertionError("The log does not end.")


def all_of(asked: LogFilter, size: int = 3) -> list[int]:
    return [number for page in pages(asked, size) for number in page]


def fill(tables: list[TrackedTable]) -> None:
    """Some thousand like the first, of all these tables, and the planner knows of them: for a table
    of one page every way is as good as any other."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO custody.auditing_changestatement SELECT (jsonb_populate_record(s,"
            " jsonb_build_object('id', n, 'operation', substr('IUD', 1 + n %% 3, 1),"
            " 'tracked_id', (%s::int[])[1 + n %% %s]))).*"
            " FROM custody.auditing_changestatement s, generate_series(2, 4000) n",
            [[each.pk for each in tables], len(tables)],
        )
        cursor.execute("ANALYZE custody.auditing_changestatement")


def test_pages_go_from_the_newest_to_the_oldest(orders: TrackedTable) -> None:
    for number in range(1, 8):
        change(orders, number)
    assert pages(LogFilter()) == [[7, 6, 5], [4, 3, 2], [1]]
    assert pages(LogFilter(), size=7) == [[7, 6, 5, 4, 3, 2, 1]]


@pytest.mark.parametrize("looked_at", [1, 4, 20_000])
def test_each_filter_finds_what_it_says_and_all_of_it(
    orders: TrackedTable, users: TrackedTable, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(log_page, "LOOKED_AT", looked_at)
    monkeypatch.setattr(log_page, "FEW", 2)
    anna = context("console:anna", user_email="anna@example.org", claimed=False)
    operations = [Operation.INSERT, Operation.UPDATE, Operation.DELETE]
    for number in range(1, 37):
        change(
            orders if number % 2 else users,
            number,
            operation=operations[number % 3],
            said=anna if number % 4 == 0 else None,
            actor=f"app:{number % 5}",
        )
    every = range(36, 0, -1)
    anna_s = [n for n in every if n % 4 == 0]
    assert all_of(LogFilter(table="shop.orders")) == [n for n in every if n % 2]
    assert all_of(LogFilter(table="shop.nothing")) == []
    assert all_of(LogFilter(operation="D")) == [n for n in every if n % 3 == 2]
    assert all_of(LogFilter(operation="X")) == []
    for name in ("anna", "console:anna", "anna@example.org", " anna "):
        assert all_of(LogFilter(user=name)) == anna_s, name
    assert all_of(LogFilter(user="app:3")) == [n for n in every if n % 5 == 3 and n % 4]
    assert all_of(LogFilter(actor="anna")) == []
    assert all_of(LogFilter(table="shop.users", operation="U", user="anna")) == [
        n for n in anna_s if n % 2 == 0 and n % 3 == 1
    ]
    moments = LogFilter(
        since=MORNING + timedelta(seconds=10), until=MORNING + timedelta(seconds=20)
    )
    assert all_of(moments) == list(range(19, 9, -1))
    assert all_of(replace(moments, table="shop.users")) == [18, 16, 14, 12, 10]
    assert all_of(LogFilter(since=MORNING + timedelta(days=1))) == []


def test_a_table_that_was_given_up_and_audited_again_is_one(orders: TrackedTable) -> None:
    orders.untracked_at = timezone.now()
    orders.history_name = "shop__orders_old"
    orders.save()
    again = table("orders")
    change(orders, 1)
    change(again, 2)
    assert all_of(LogFilter(table="shop.orders")) == [2, 1]


def test_the_consoles_own_tables_can_be_left_out(orders: TrackedTable) -> None:
    assert all_of(LogFilter(without_own=True)) == []
    own = table("operations_run")
    own.schema_name = "custody"
    own.save()
    for number in range(1, 13):
        change(orders if number % 4 == 0 else own, number, actor=f"app:{number % 2}")
    assert all_of(LogFilter(without_own=True)) == [12, 8, 4]
    assert all_of(LogFilter(without_own=True, operation="U")) == [12, 8, 4]
    assert all_of(LogFilter(without_own=True, user="app:1")) == []
    assert all_of(LogFilter(without_own=True, table="custody.operations_run"), size=20) == [
        11, 10, 9, 7, 6, 5, 3, 2, 1
    ]  # fmt: skip
    assert len(all_of(LogFilter())) == 12


def test_words_of_the_reason_and_the_request(
    orders: TrackedTable, users: TrackedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    refund = context("app:1", reason="Refund, ticket #4711 (Anna's)", request_id="req-1")
    nightly = context("app:2", reason="Nightly clean-up", request_id="req-2")
    again = context("app:1", reason="Ticket 4712: refunded", request_id="req-2")
    silent = context("app:1")
    for number, said in enumerate([refund, nightly, again, silent, None, refund], 1):
        change(orders if number != 3 else users, number, said=said)

    def check() -> None:
        # By the newest context, and in it by the newest statement.
        assert all_of(LogFilter(reason="refund")) == [3, 6, 1]
        assert all_of(LogFilter(reason="refund"), size=1) == [3, 6, 1]
        assert all_of(LogFilter(reason="4711")) == [6, 1]
        assert all_of(LogFilter(reason="ticket #47")) == [3, 6, 1]
        assert all_of(LogFilter(reason="CLEAN UP")) == [2]
        assert all_of(LogFilter(reason="' & ):*")) == []
        assert all_of(LogFilter(reason="refund", table="shop.orders")) == [6, 1]
        assert all_of(LogFilter(reason="refund", user="app:2")) == []
        assert all_of(LogFilter(request_id="req-2")) == [3, 2]
        assert all_of(LogFilter(request_id="req-2", reason="night")) == [2]
        assert all_of(LogFilter(request_id="req")) == []
        late = LogFilter(reason="refund", since=MORNING + timedelta(seconds=4))
        assert all_of(late) == [6]

    check()
    # The same when nothing is few, and only the index of words, or only a walk, can tell.
    monkeypatch.setattr(log_page, "FEW", 1)
    check()
    monkeypatch.setattr(log_contexts, "WALKED", (1, 1))
    check()
    monkeypatch.setattr(log_contexts, "ENOUGH", 0)
    check()


def test_the_reasons_condition_is_the_one_that_has_an_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        query = "EXPLAIN SELECT id FROM custody.auditing_changecontext WHERE {} OFFSET 0"
        cursor.execute(query.format(reason_is("ticket 4711").as_string(cursor.connection)))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "context_reason" in plan


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (LogFilter(), "auditing_changestatement_pkey"),
        (LogFilter(table="shop.orders"), "statement_tracked"),
        (LogFilter(table="shop.orders", until=MORNING), "statement_tracked"),
        (LogFilter(operation="U"), "statement_operation"),
        (LogFilter(user="anna", table="shop.orders"), "statement_actor"),
    ],
)
def test_candidates_come_in_the_order_of_their_index(
    orders: TrackedTable, monkeypatch: pytest.MonkeyPatch, asked: LogFilter, index: str
) -> None:
    """Else the planner may sort all statements of a table, or walk through all there are."""
    change(orders, 1)
    fill([orders, *(table(f"other{n}") for n in range(9))])
    monkeypatch.setattr(log_page, "FEW", 0)
    plans, run = [], log_page._run

    def explained(query: Composable, using: str) -> list[tuple[object, ...]]:
        if "found" in query.as_string(None):
            lines = run(SQL("EXPLAIN {}").format(query), using)
            plans.append("\n".join(str(line) for (line,) in lines))
        return run(query, using)

    monkeypatch.setattr(log_page, "_run", explained)
    log_page.log_page(asked)
    (plan,) = plans
    assert f"using {index} on auditing_changestatement" in plan
    branches = plan[plan.index("using") :]
    assert "Sort" not in branches
    assert "Seq Scan" not in plan


def test_a_page_that_looked_long_enough_says_how_far(
    orders: TrackedTable, users: TrackedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_page, "LOOKED_AT", 10)
    monkeypatch.setattr(log_page, "FEW", 1)
    for number in range(1, 41):
        change(users if number == 5 else orders, number, actor="app:1")
    page = log_page.log_page(LogFilter(user="app:1", table="shop.users"), size=3)
    assert page.statements == []
    assert page.looked_back_to == MORNING + timedelta(seconds=31)
    assert all_of(LogFilter(user="app:1", table="shop.users")) == [5]


@pytest.mark.parametrize("text", ["", "x", "1-2-3", "-1", "1-x", "9" * 30, "1 OR 1"])
def test_nonsense_is_no_place(text: str) -> None:
    assert Place.read(text) is None


def test_a_line_knows_its_table_its_person_and_their_reason(orders: TrackedTable) -> None:
    change(orders, 1, said=context("app:7", reason="Because."))
    (line,) = log_page.log_page(LogFilter()).statements
    with connection.execute_wrapper(_forbidden):
        assert str(line.tracked) == "shop.orders"
        assert line.context is not None
        assert line.context.reason == "Because."


def _forbidden(*_: object) -> None:
    raise AssertionError("A line asks the database again.")


def test_what_somebody_changed_lately_by_table(orders: TrackedTable, users: TrackedTable) -> None:
    now = timezone.now()
    for number in range(1, 6):
        made = change(orders if number < 4 else users, number, rows=number)
        type(made).objects.filter(pk=number).update(at=now - timedelta(days=2 * number))
    recent = actor_recent("app:4711")
    assert recent.since is None
    assert {name: (each.statements, each.rows) for name, each in recent.tables.items()} == {
        "shop.orders": (3, 6)
    }
    assert actor_recent("nobody").tables == {}
    assert ChangeContext.objects.count() == 0
