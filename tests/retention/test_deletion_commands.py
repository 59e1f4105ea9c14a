"""What deletion_list and deletion_show tell, and what they leave out."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from retention.services.record_delete import record_delete

from .shop import shop_open
from .softdelete_tables import command
from .softdeleting import app, soft_delete

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def shop(governed: str, execute: Execute) -> None:
    shop_open(execute)


def text_of(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_page_has_at_least_one_line(db: None, limit: str) -> None:
    with pytest.raises(CommandError, match="--limit is a number of deletions") as error:
        text_of("deletion_list", "--limit", limit)
    assert error.value.returncode == 2


@pytest.mark.usefixtures("shop")
def test_older_ones_are_told_of_only_where_there_are_any() -> None:
    first, second, third = (soft_delete("orders", key).pk for key in (1, 2, 3))

    assert "Older ones" not in text_of("deletion_list", "--limit", "3")
    some = text_of("deletion_list", "--limit", "2")
    assert f"Older ones: --before {second}" in some
    listed = command("deletion_list", "--limit", "2")["deletions"]
    assert [each["id"] for each in listed] == [third, second]
    rest = text_of("deletion_list", "--limit", "2", "--before", str(second))
    assert "Older ones" not in rest
    listed = command("deletion_list", "--limit", "2", "--before", str(second))["deletions"]
    assert [each["id"] for each in listed] == [first]


def test_a_deletion_is_known_by_its_record_and_shown_table_by_table(
    shop: None, person: User
) -> None:
    record_delete(table=app("customers"), record_id="2", actor=person, reason="asked by mail")

    [listed] = command("deletion_list")["deletions"]
    bob = {"name": "Bob", "email": "b@x.org", "referred_by": "1"}
    assert listed["record"] == bob
    assert "Bob, b@x.org" in text_of("deletion_list")
    shown = command("deletion_show", str(listed["id"]), "--rows", "2")["deletion"]
    tables = [(each["table"], each["rows"], each["some"]) for each in shown["tables"]]
    assert tables == [
        ("app.customers", 1, [{"record_id": "2", **bob}]),
        ("app.addresses", 1, [{"record_id": "2", "customer_id": "2"}]),
        ("app.orders", 1, [{"record_id": "4", "customer_id": "2", "address_id": "1"}]),
        (
            "app.lines",
            3,
            [{"record_id": f'["4","{number}"]', "sku": "x"} for number in (1, 2)],
        ),
    ]
    assert {each["problem"] for each in shown["tables"]} == {""}
    assert "app.customers 2: Bob, b@x.org" in text_of("deletion_show", str(listed["id"]))


def test_a_deletion_is_shown_though_a_table_is_gone_or_has_another_key(
    shop: None, execute: Execute, person: User
) -> None:
    deletion = record_delete(table=app("customers"), record_id="2", actor=person).deletion
    assert deletion is not None
    execute("DROP VIEW app.active_lines")
    execute("DROP TABLE app.lines CASCADE")
    execute("DROP VIEW app.active_customers")
    execute("ALTER TABLE app.customers DROP CONSTRAINT customers_pkey CASCADE")

    shown = command("deletion_show", str(deletion.pk))["deletion"]

    problems = {each["table"]: each["problem"] for each in shown["tables"]}
    assert problems.pop("app.lines") == "The table is gone."
    assert "has no key" in problems.pop("app.customers")
    assert problems == {"app.addresses": "", "app.orders": ""}
    assert shown["record"] == {}
    assert "app.lines: The table is gone." in text_of("deletion_show", str(deletion.pk))
    assert "app.customers" in text_of("deletion_list")
