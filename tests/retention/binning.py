"""A small shop where the wrong customer is deleted: 3 orders, 11 lines, somebody's address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .softdeleting import enable

Execute = Callable[..., list[tuple[Any, ...]]]

ADA, BEN = 4711, 4712
EMAIL = "ada@example.org"
_SHOP = """
CREATE TABLE app.customers (
    id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL CHECK (email LIKE '%@%'),
    email_lower text GENERATED ALWAYS AS (lower(email)) STORED, phone text, password_hash text,
    CONSTRAINT customers_email UNIQUE (email), CONSTRAINT customers_email_lower UNIQUE (email_lower)
);
CREATE TABLE app.addresses (
    id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES app.customers ON DELETE CASCADE,
    street text NOT NULL, city text NOT NULL
);
CREATE TABLE app.orders (
    id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES app.customers ON DELETE CASCADE,
    ship_to bigint REFERENCES app.addresses ON DELETE SET NULL,
    number text NOT NULL, status text NOT NULL, placed_at date NOT NULL
);
CREATE TABLE app.lines (
    order_id bigint NOT NULL REFERENCES app.orders ON DELETE CASCADE, place int NOT NULL,
    title text NOT NULL, quantity int NOT NULL, PRIMARY KEY (order_id, place)
);
CREATE TABLE app.invoices (
    id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES app.orders ON DELETE RESTRICT
);
INSERT INTO app.customers (id, name, email, phone, password_hash) VALUES
    (4711, 'Ada Lovelace', 'ada@example.org', '+44 20 7946 0018', 'pbkdf2$secret'),
    (4712, 'Ben Oni', 'ben@example.org', NULL, 'pbkdf2$other');
INSERT INTO app.addresses VALUES
    (21, 4711, '12 St James Square', 'London'), (22, 4712, '3 High Street', 'Leeds');
INSERT INTO app.orders VALUES
    (501, 4711, 21, 'SO-1001', 'paid', '2026-10-02'),
    (502, 4711, 21, 'SO-1002', 'shipped', '2026-10-20'),
    (503, 4711, NULL, 'SO-1003', 'new', '2026-11-18'),
    (504, 4712, 21, 'SO-1004', 'paid', '2026-11-19');
INSERT INTO app.lines
    SELECT 501, n, 'Punched card ' || n, n FROM generate_series(1, 5) n
    UNION ALL SELECT 502, n, 'Gear wheel ' || n, n FROM generate_series(1, 4) n
    UNION ALL SELECT 503, n, 'Note book ' || n, n FROM generate_series(1, 2) n
    UNION ALL SELECT 504, 1, 'Lamp', 1;
"""
TABLES = ("customers", "addresses", "orders", "lines")


def make_shop(execute: Execute) -> None:
    """Needs the schema `app`; a deleted customer's mail address can be taken by another."""
    execute(_SHOP)
    enable("customers", unique_active=("customers_email", "customers_email_lower"))
    for name in TABLES[1:]:
        enable(name)


def whole(execute: Execute) -> dict[str, list[tuple[Any, ...]]]:
    """Every row with every column, by table."""
    return {name: execute(f"SELECT * FROM app.{name} ORDER BY 1, 2") for name in TABLES}
