"""A small shop whose tables have soft delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .softdeleting import enable

Execute = Callable[..., list[tuple[Any, ...]]]

SHOP = """
CREATE TABLE app.customers (
    id bigint PRIMARY KEY, email text NOT NULL CONSTRAINT customers_email UNIQUE, name text,
    referred_by bigint REFERENCES app.customers ON DELETE SET NULL);
CREATE TABLE app.addresses (
    id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES app.customers ON DELETE CASCADE);
CREATE TABLE app.orders (
    id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES app.customers ON DELETE CASCADE,
    address_id bigint REFERENCES app.addresses ON DELETE SET NULL);
CREATE TABLE app.lines (
    order_id bigint REFERENCES app.orders ON DELETE CASCADE, number int, sku text,
    PRIMARY KEY (order_id, number));
CREATE TABLE app.invoices (
    id bigint PRIMARY KEY, order_id bigint REFERENCES app.orders ON DELETE RESTRICT);
INSERT INTO app.customers VALUES (1, 'a@x.org', 'Ann', NULL), (2, 'b@x.org', 'Bob', 1);
INSERT INTO app.addresses VALUES (1, 1), (2, 2);
INSERT INTO app.orders VALUES (1, 1, 1), (2, 1, 2), (3, 1, NULL), (4, 2, 1);
INSERT INTO app.lines SELECT o.id, n, 'x' FROM app.orders o, generate_series(1, 3) n;
"""
"""Ann (1) has orders 1, 2 and 3 of three lines each; Bob (2) has order 4, sent to Ann's address."""
TABLES = ("customers", "addresses", "orders", "lines")


def shop_open(execute: Execute) -> None:
    """With soft delete; an email is unique over active customers only."""
    execute(SHOP)
    enable("customers", unique_active=["customers_email"])
    for name in ("addresses", "orders", "lines"):
        enable(name)


def active(execute: Execute, name: str, columns: str = "id") -> list[Any]:
    """What the application sees of a table."""
    query = f"SELECT {columns} FROM app.{name} WHERE deleted_at IS NULL ORDER BY {columns}"
    return [row[0] if len(row) == 1 else row for row in execute(query)]


def everything(execute: Execute) -> list[list[tuple[Any, ...]]]:
    return [execute(f"SELECT * FROM app.{name} ORDER BY 1, 2") for name in TABLES]
