"""By what a person knows a row again, and what nobody is shown to know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations.catalogue.read import table
from operations.readable import is_secret, readable_columns

pytestmark = [pytest.mark.usefixtures("governed"), pytest.mark.sql]
Execute = Callable[..., list[tuple[Any, ...]]]


def told(name: str) -> list[str]:
    return [column.name for column in readable_columns(table(name))]


def test_a_person_is_known_by_name_and_mail_and_by_nothing_that_opens_a_door(
    execute: Execute,
) -> None:
    execute(
        "CREATE TABLE app.users (id uuid PRIMARY KEY, password_hash text, api_token text,"
        " email text, email_lower text GENERATED ALWAYS AS (lower(email)) STORED, about jsonb,"
        " phone text, full_name text, pin int, photo bytea, created_at timestamptz,"
        " deleted_at timestamptz, deleted_by text, deletion_id bigint)"
    )
    assert told("app.users") == ["full_name", "email", "phone", "created_at"]
    secret = [column.name for column in table("app.users").columns if is_secret(column)]
    assert secret == ["password_hash", "api_token", "pin"]


def test_an_order_is_known_by_its_number_state_total_and_day(execute: Execute) -> None:
    execute(
        "CREATE TYPE app.status AS ENUM ('new', 'paid');"
        " CREATE TABLE app.people (id int PRIMARY KEY);"
        " CREATE TABLE app.orders (id int PRIMARY KEY, person_id int REFERENCES app.people,"
        " created_at timestamptz, total numeric, status app.status, order_no text)"
    )
    assert told("app.orders") == ["order_no", "status", "total", "created_at"]


def test_a_row_of_references_only_is_known_by_what_it_refers_to(execute: Execute) -> None:
    execute(
        "CREATE TABLE app.people (id int PRIMARY KEY);"
        " CREATE TABLE app.friends (id int PRIMARY KEY, one int REFERENCES app.people,"
        " other int REFERENCES app.people)"
    )
    assert told("app.friends") == ["one", "other"]
    assert told("app.people") == []
