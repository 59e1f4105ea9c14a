"""Unique constraints: untouched unless named, over active rows when named, and back exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from retention.models import SoftDeleteTable

from .catalogue_state import catalogue_state
from .softdelete_tables import SHOP, Execute, command, disable, enable, refusal

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("governed")]
Session = psycopg.Connection[Any]

KINDS = """
CREATE TABLE app.kinds (
    id int PRIMARY KEY, a text, b int, "Odd name" text, tags text[], at timestamptz,
    CONSTRAINT plain UNIQUE (a, b),
    CONSTRAINT "Late one" UNIQUE (b, "Odd name") DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT later UNIQUE (at) DEFERRABLE,
    CONSTRAINT nulls UNIQUE NULLS NOT DISTINCT (a, "Odd name"),
    CONSTRAINT more UNIQUE (b, a) INCLUDE (at, tags)
);
CREATE UNIQUE INDEX by_expression ON app.kinds (lower(a), (b + 1) DESC NULLS LAST);
CREATE UNIQUE INDEX partly ON app.kinds (a text_pattern_ops) WITH (fillfactor = 70)
    WHERE b > 5 AND "Odd name" <> ' WHERE (it''s) '
    AND CASE WHEN b > 7 THEN true ELSE a IS NULL END;
CREATE UNIQUE INDEX collated ON app.kinds (a COLLATE "C", at) NULLS NOT DISTINCT;
COMMENT ON CONSTRAINT plain ON app.kinds IS 'one of a kind';
COMMENT ON INDEX app.plain IS 'its index';
COMMENT ON INDEX app.partly IS 'a part';
ALTER TABLE app.kinds CLUSTER ON more;
INSERT INTO app.kinds SELECT n, 'a' || n, n, 'o' || n, NULL, now() + n * interval '1 day'
FROM generate_series(1, 9) n;
"""
NAMES = ["plain", "Late one", "later", "nulls", "more", "by_expression", "partly", "collated"]


def shapes(execute: Execute) -> dict[str, str]:
    """By name, what follows the table's name."""
    return {
        name: text.split(" ON ", 1)[1].split(" ", 1)[1]
        for name, text in execute(
            "SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_class c"
            " JOIN pg_index i ON i.indexrelid = c.oid AND i.indisunique AND NOT i.indisprimary"
            " WHERE c.relnamespace = 'app'::regnamespace"
        )
    }


def test_unless_named_they_stay_as_they_are(execute: Execute) -> None:
    execute(KINDS)
    before = shapes(execute)
    document = enable("app.kinds")
    assert shapes(execute) == before
    assert len(document["unique"]) == len(NAMES)
    assert SoftDeleteTable.objects.get().active_unique == []


def test_every_kind_looks_at_active_rows_when_named_and_comes_back_exactly(
    execute: Execute,
) -> None:
    execute(KINDS)
    before, whole = catalogue_state(execute), shapes(execute)
    document = enable("app.kinds", "--unique-active", *NAMES)
    assert shapes(execute) == {
        name: f"{shape[:-1]} AND (deleted_at IS NULL))"
        if name == "partly"
        else f"{shape} WHERE (deleted_at IS NULL)"
        for name, shape in whole.items()
    }
    told = " ".join(document["cautions"])
    assert "ON CONFLICT (a, b) WHERE deleted_at IS NULL" in told
    assert "later of app.kinds: it is checked at once and not at COMMIT any more" in told
    assert {entry["name"] for entry in SoftDeleteTable.objects.get().active_unique} == set(NAMES)
    disable("app.kinds")
    assert catalogue_state(execute) == before


def test_a_value_of_a_deleted_row_is_free_and_of_an_active_one_taken(
    execute: Execute, other_session: Callable[[], Session]
) -> None:
    execute(SHOP)
    enable("app.users", "--unique-active", "users_email_key")
    session = other_session()
    session.execute("UPDATE app.users SET deleted_at = now(), deletion_id = 1 WHERE id = 3")
    session.execute("INSERT INTO app.users VALUES (30, '3@example.org')")
    with pytest.raises(psycopg.errors.UniqueViolation) as told:
        session.execute("INSERT INTO app.users VALUES (31, '4@example.org')")
    assert told.value.diag.constraint_name == "users_email_key"
    with pytest.raises(psycopg.errors.InvalidColumnReference):
        session.execute(
            "INSERT INTO app.users VALUES (31, '4@example.org') ON CONFLICT (email) DO NOTHING"
        )
    session.execute(
        "INSERT INTO app.users VALUES (31, '4@example.org')"
        " ON CONFLICT (email) WHERE deleted_at IS NULL DO NOTHING"
    )


PARTITIONED = """
CREATE TABLE app.events (
    id int, at date, code text, PRIMARY KEY (id, at), CONSTRAINT once UNIQUE (code, at)
) PARTITION BY RANGE (at);
CREATE UNIQUE INDEX lowered ON app.events (lower(code), at) WHERE id > 0;
CREATE TABLE app.e25 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
    PARTITION BY LIST (at);
CREATE TABLE app.e25_rest PARTITION OF app.e25 DEFAULT;
CREATE TABLE app.e26 (at date NOT NULL, junk int, code text, id int NOT NULL,
    CONSTRAINT own_key PRIMARY KEY (id, at), CONSTRAINT own_name UNIQUE (code, at));
ALTER TABLE app.e26 DROP COLUMN junk;
ALTER TABLE app.events ATTACH PARTITION app.e26 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
COMMENT ON CONSTRAINT own_name ON app.e26 IS 'its own';
INSERT INTO app.events SELECT n, '2025-06-01'::date + n * 60, 'c' || n
FROM generate_series(1, 8) n;
"""


def test_those_of_a_partitioned_table_too_with_the_names_that_its_partitions_have(
    execute: Execute,
) -> None:
    execute(PARTITIONED)
    before = catalogue_state(execute)
    enable("app.events", "--unique-active", "once", "lowered")
    active = shapes(execute)
    assert {name for name, text in active.items() if "deleted_at IS NULL" in text} == {
        "once", "lowered", "own_name", "e25_code_at_key", "e25_rest_code_at_key",
        "e25_lower_at_idx", "e25_rest_lower_at_idx", "e26_lower_at_idx",
    }  # fmt: skip
    execute(
        "CREATE TABLE app.e27 PARTITION OF app.events"
        " FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')"
    )
    disable("app.events")
    assert "UNIQUE (code, at)" in str(
        execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'app.e27'::regclass AND contype = 'u'"
        )
    )
    execute("DROP TABLE app.e27")
    assert catalogue_state(execute) == before


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (
            "users_pkey",
            "users_pkey is a primary key, which names rows, deleted ones too: it stays.",
        ),
        ("nothing", "None of these tables has a unique constraint nothing. They have: users_"),
        ("users_name_key", "is what foreign keys refer to (fans_name_fkey of app.fans)"),
    ],
)
def test_what_cannot_look_at_active_rows_is_refused_with_why(
    execute: Execute, named: str, told: str
) -> None:
    execute(SHOP)
    execute("ALTER TABLE app.users ADD CONSTRAINT users_name_key UNIQUE (id, name)")
    execute(
        "CREATE TABLE app.fans (id int PRIMARY KEY, a int, n text, CONSTRAINT fans_name_fkey"
        " FOREIGN KEY (a, n) REFERENCES app.users (id, name) ON DELETE CASCADE)"
    )
    before = catalogue_state(execute)
    code, said = refusal("softdelete_enable", "app.users", "--unique-active", named)
    assert told in said
    assert code in (2, 3)
    assert catalogue_state(execute) == before


def test_the_only_key_and_a_replica_identity_stay(execute: Execute) -> None:
    execute("CREATE TABLE app.keyed (code text NOT NULL UNIQUE, other int NOT NULL UNIQUE)")
    execute("ALTER TABLE app.keyed REPLICA IDENTITY USING INDEX keyed_other_key")
    key = refusal("softdelete_enable", "app.keyed", "--unique-active", "keyed_code_key")
    assert "is the only key that names its rows" in key[1]
    identity = refusal("softdelete_enable", "app.keyed", "--unique-active", "keyed_other_key")
    assert "is the replica identity of app.keyed" in identity[1]


def test_one_that_is_over_active_rows_already_is_left_alone(execute: Execute) -> None:
    execute("CREATE TABLE app.t (id int PRIMARY KEY, a text, deleted_at timestamptz)")
    execute("CREATE UNIQUE INDEX active_a ON app.t (a) WHERE deleted_at IS NULL")
    before = catalogue_state(execute)
    plan = command("softdelete_enable", "app.t", "--dry-run")["plan"]
    assert plan["unique"] == []
    enable("app.t", "--unique-active", "active_a")
    disable("app.t")
    assert catalogue_state(execute) == before


def test_values_that_occur_twice_keep_it_from_coming_back_until_one_is_changed(
    execute: Execute,
) -> None:
    """Rows that the application marked itself, in a column of its own, are in no bin."""
    execute("CREATE TABLE app.t (id int PRIMARY KEY, a text UNIQUE, deleted_at timestamptz)")
    execute("INSERT INTO app.t VALUES (1, 'x', now())")
    before = catalogue_state(execute)
    enable("app.t", "--unique-active", "t_a_key")
    execute("INSERT INTO app.t (id, a) VALUES (2, 'x')")
    code, told = refusal("softdelete_disable", "app.t")
    assert (code, "Key (a)=(x) is duplicated" in told) == (3, True)
    assert "deleted_at IS NULL" in shapes(execute)["t_a_key"]
    execute("UPDATE app.t SET a = 'y' WHERE id = 2")
    disable("app.t")
    assert catalogue_state(execute) == before
