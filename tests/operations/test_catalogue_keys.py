"""Keys, foreign keys and triggers as the catalogue tells them."""

from __future__ import annotations

import pytest

from operations.catalogue.read import table
from operations.catalogue.types import ForeignKey, Key, TableName, Trigger
from tests.operations.statements import execute

pytestmark = [pytest.mark.sql, pytest.mark.django_db]


def test_keys_are_the_valid_immediate_whole_ones_the_primary_first() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t (b int, a int, email text NOT NULL, code text, at date,"
        " CONSTRAINT z_first PRIMARY KEY (b, a) INCLUDE (code),"
        " CONSTRAINT later UNIQUE (code) DEFERRABLE,"
        " CONSTRAINT dates EXCLUDE USING btree (at WITH =))",
        "CREATE UNIQUE INDEX a_email ON shop.t (email)",
        "CREATE UNIQUE INDEX b_part ON shop.t (code) WHERE code <> ''",
        "CREATE UNIQUE INDEX c_lower ON shop.t (lower(email))",
        "CREATE UNIQUE INDEX d_two ON shop.t (at, code)",
        "CREATE INDEX e_plain ON shop.t (code)",
    )
    found = table("shop.t")
    assert found.keys == (
        Key("z_first", ("b", "a"), primary=True),
        Key("a_email", ("email",), primary=False),
        Key("d_two", ("at", "code"), primary=False),
    )
    assert found.primary_key == found.key == found.keys[0]


def test_without_a_primary_key_a_row_is_named_by_a_unique_key_that_is_never_null() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t (a int UNIQUE, b int NOT NULL UNIQUE)",
        "CREATE TABLE shop.none (a int UNIQUE)",
    )
    assert table("shop.t").primary_key is None
    assert table("shop.t").key == Key("t_b_key", ("b",), primary=False)
    assert table("shop.none").key is None


@pytest.mark.parametrize(
    ("clause", "rule"),
    [
        ("", "no action"),
        ("ON DELETE NO ACTION", "no action"),
        ("ON DELETE RESTRICT", "restrict"),
        ("ON DELETE CASCADE", "cascade"),
        ("ON DELETE SET NULL", "set null"),
        ("ON DELETE SET DEFAULT", "set default"),
        ("ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED", "cascade"),
    ],
)
def test_both_ends_of_a_foreign_key_know_its_rule(clause: str, rule: str) -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE SCHEMA crm",
        "CREATE TABLE shop.users (a int, b int, PRIMARY KEY (a, b))",
        "CREATE TABLE crm.calls (x int, y int, z int,"
        f" CONSTRAINT caller FOREIGN KEY (y, x) REFERENCES shop.users (b, a) {clause})",
    )
    expected = ForeignKey(
        name="caller",
        table=TableName("crm", "calls"),
        columns=("y", "x"),
        references=TableName("shop", "users"),
        referenced_columns=("b", "a"),
        on_delete=rule,  # type: ignore[arg-type]
        indexed=False,
        operators=(("pg_catalog", "="), ("pg_catalog", "=")),
        temporal=False,
    )
    assert table("crm.calls").foreign_keys == (expected,)
    assert table("shop.users").referenced_by == (expected,)
    assert table("shop.users").foreign_keys == table("crm.calls").referenced_by == ()


def test_a_table_may_point_at_itself() -> None:
    execute(
        "CREATE SCHEMA shop", "CREATE TABLE shop.t (id int PRIMARY KEY, up int REFERENCES shop.t)"
    )
    found = table("shop.t")
    assert found.foreign_keys == found.referenced_by
    assert found.foreign_keys[0].columns == ("up",)


@pytest.mark.parametrize(
    ("index", "indexed"),
    [
        ("(x, y)", True),
        ("(y, x)", True),
        ("(y, x, z)", True),
        ("USING btree (y DESC, x)", True),
        ("(z, x, y)", False),
        ("(x)", False),
        ("(x, z, y)", False),
        ("(x) INCLUDE (y)", False),
        ("(x, (y + 1))", False),
        ("(x, x, y)", False),
        ("(x, y) WHERE z IS NOT NULL", False),
        ("USING hash (x)", False),
        ("USING brin (x, y)", False),
    ],
)
def test_an_index_serves_a_foreign_key_when_it_starts_with_its_columns(
    index: str, indexed: bool
) -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.users (a int, b int, PRIMARY KEY (a, b))",
        "CREATE TABLE shop.calls (x int, y int, z int, FOREIGN KEY (x, y) REFERENCES shop.users)",
        f"CREATE INDEX ON shop.calls {index}",
    )
    assert table("shop.calls").foreign_keys[0].indexed is indexed


def test_a_primary_key_serves_a_foreign_key_too() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.users (a int PRIMARY KEY)",
        "CREATE TABLE shop.sign_ins (x int REFERENCES shop.users, n int, PRIMARY KEY (x, n))",
    )
    assert table("shop.sign_ins").foreign_keys[0].indexed


def test_triggers_are_told_without_postgresqls_own() -> None:
    execute(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.users (a int PRIMARY KEY)",
        "CREATE TABLE shop.t (a int REFERENCES shop.users ON DELETE CASCADE)",
        'CREATE FUNCTION shop."Note It"() RETURNS trigger LANGUAGE plpgsql'
        " AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER b_rows AFTER INSERT OR UPDATE OF a OR DELETE ON shop.t"
        ' FOR EACH ROW EXECUTE FUNCTION shop."Note It"()',
        "CREATE TRIGGER a_all BEFORE TRUNCATE OR DELETE ON shop.t"
        ' EXECUTE FUNCTION shop."Note It"()',
        'CREATE TRIGGER c_off AFTER DELETE ON shop.t EXECUTE FUNCTION shop."Note It"()',
        "ALTER TABLE shop.t DISABLE TRIGGER c_off",
        "ALTER TABLE shop.t ENABLE REPLICA TRIGGER b_rows",
        "ALTER TABLE shop.t ENABLE ALWAYS TRIGGER a_all",
    )
    note = 'shop."Note It"'
    assert table("shop.t").triggers == (
        Trigger("a_all", note, "before", ("delete", "truncate"), "statement", "always"),
        Trigger("b_rows", note, "after", ("insert", "update", "delete"), "row", "replica"),
        Trigger("c_off", note, "after", ("delete",), "statement", "disabled"),
    )
