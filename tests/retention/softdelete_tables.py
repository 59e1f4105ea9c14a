"""Tables to enable soft delete on, and the commands as an operator calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

Execute = Callable[..., list[tuple[Any, ...]]]

SHOP = """
CREATE TABLE app.users (
    id int PRIMARY KEY, email text CONSTRAINT users_email_key UNIQUE, name text,
    referred_by int REFERENCES app.users ON DELETE SET NULL);
CREATE TABLE app.addresses (
    id int PRIMARY KEY, user_id int NOT NULL REFERENCES app.users ON DELETE CASCADE);
CREATE TABLE app.orders (
    id int PRIMARY KEY, user_id int NOT NULL REFERENCES app.users ON DELETE RESTRICT,
    address_id int REFERENCES app.addresses ON DELETE SET NULL);
CREATE TABLE app.lines (
    order_id int REFERENCES app.orders ON DELETE CASCADE, number int,
    PRIMARY KEY (order_id, number));
CREATE TABLE app.tickets (id int PRIMARY KEY, user_id int REFERENCES app.users);
CREATE INDEX ON app.addresses (user_id);
CREATE INDEX ON app.orders (user_id);
CREATE INDEX ON app.orders (address_id);
CREATE INDEX ON app.tickets (user_id);
CREATE INDEX ON app.users (referred_by);
INSERT INTO app.users SELECT n, n || '@example.org', 'u', CASE WHEN n > 1 THEN 1 END
FROM generate_series(1, 5) n;
INSERT INTO app.addresses SELECT n, 1 + n % 5 FROM generate_series(1, 10) n;
INSERT INTO app.orders SELECT n, 1 + n % 5, n FROM generate_series(1, 10) n;
INSERT INTO app.lines SELECT 1 + n % 10, n FROM generate_series(1, 20) n;
"""
"""`orders` keep a user; `tickets` keep one too and are not taken along."""


def enable(table: str, *arguments: str) -> dict[str, Any]:
    """The document of `softdelete_enable`."""
    return command("softdelete_enable", table, *arguments)


def disable(table: str, *arguments: str) -> dict[str, Any]:
    return command("softdelete_disable", table, *arguments)


def command(name: str, *arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command(name, *arguments, "--json", stdout=out, stderr=StringIO())
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def refusal(name: str, *arguments: str) -> tuple[int, str]:
    """Exit code and sentence of a command that refuses."""
    with pytest.raises(CommandError) as told:
        call_command(name, *arguments, stdout=StringIO(), stderr=StringIO())
    return told.value.returncode, str(told.value)
