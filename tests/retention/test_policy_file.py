"""What is exported is imported: the same terms, whatever they say, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operations.catalogue.names import quoted
from operations.catalogue.types import TableName
from retention.models import RetentionPolicy
from retention.services.policy_file import (
    entries_text,
    entry_check,
    entry_terms,
    policy_file_read,
    terms_entry,
)
from retention.services.policy_import import policy_import
from retention.services.policy_terms import PolicyTerms
from retention.services.policy_terms_check import terms_problems
from tests.approving import in_force
from tests.effort import examples
from tests.operations.conditions import create_table
from tests.operations.statements import execute

from .policy_terms import terms

pytestmark = pytest.mark.django_db

ODD = 'Q "u", %s; é'
"""A schema and a table that nobody would call so."""
_LETTERS = st.characters(exclude_categories=("Cs", "Cc"))
NAMES = st.text(_LETTERS, min_size=1, max_size=40).filter(
    lambda text: text == text.strip() and text.isprintable()
)
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")).map(str.strip)


@pytest.fixture
def shop(db: None) -> None:
    create_table()
    execute("ALTER TABLE shop.t ADD PRIMARY KEY (id)")
    odd = quoted(ODD)
    execute(
        f"CREATE SCHEMA {odd}",
        f"CREATE TABLE {odd}.{odd} (t_id int REFERENCES shop.t, {odd} timestamptz)",
    )


def read_back(text: str, folder: Path) -> list[dict[str, Any]]:
    path = folder / "policies"
    path.write_text(text, encoding="utf-8")
    return policy_file_read(path)


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    said=st.builds(
        replace,
        terms(),
        name=NAMES,
        owner=TEXTS.filter(lambda text: len(text) <= 200),
        legal_basis=TEXTS,
        dependents=st.sampled_from([(), (TableName(ODD, ODD),)]),
    ),
    other=terms(),
    as_json=st.booleans(),
)
def test_a_policy_comes_back_from_its_file(
    shop: None, tmp_path: Path, said: PolicyTerms, other: PolicyTerms, as_json: bool
) -> None:
    assert list(terms_problems(said)) == []

    (entry,) = read_back(entries_text([terms_entry(said)], as_json=as_json), tmp_path)

    entry_check(entry)
    assert repr(entry_terms(entry, name=said.name, base=None)) == repr(said)
    # Whatever the policy says by then.
    assert entry_terms(entry, name=said.name, base=replace(other, name=said.name)) == said


@pytest.fixture
def tables(governed: str) -> None:
    execute(
        "CREATE TABLE app.users (id int PRIMARY KEY, born date, created_at timestamptz)",
        'CREATE TABLE app."Odd, name" (user_id int REFERENCES app.users, valid tstzrange)',
        "CREATE TABLE app.tokens (id int PRIMARY KEY, used_at timestamp, made timestamptz)",
    )


ENTRIES: list[dict[str, Any]] = [
    {"table": "users", "retentionDays": -1, "softDelete": True},
    {
        "name": "users who left: élèves, 'quoted'",
        "table": "app.users",
        "retentionDays": 3650,
        "ageColumn": "born",
        "archiveBeforeDelete": True,
        "archiveDays": 30,
        "excludeCondition": "created_at > now() - interval '1 year' OR id IN (1, 2)",
        "dependents": ['app."Odd, name"'],
        "legalBasis": "Article 6:\n(1) yes\n(2) no",
        "owner": "null",
    },
    {"table": 'app."Odd, name"', "retentionDays": 3, "ageColumn": "valid", "enabled": False},
    {"table": "tokens", "retentionHours": 36, "ageColumn": "used_at"},
]


@pytest.mark.parametrize("as_json", [False, True])
def test_all_policies_come_back_on_an_empty_console(
    tables: None, person: User, tmp_path: Path, as_json: bool
) -> None:
    in_force(policy_import(entries=ENTRIES, actor=person))
    before = everything()
    assert [terms.keep_hours for terms in before] == [72, 36, None, 87600]
    entries = read_back(exported(as_json=as_json), tmp_path)

    # Once more changes nothing.
    again = policy_import(entries=entries, actor=person)
    assert {(each.change, each.run, each.superseded) for each in again} == {
        ("unchanged", None, None)
    }
    assert everything() == before

    RetentionPolicy.objects.all().delete()
    in_force(policy_import(entries=entries, actor=person))
    assert everything() == before


def test_a_file_brings_back_what_was_changed_since(
    tables: None, person: User, tmp_path: Path
) -> None:
    in_force(policy_import(entries=ENTRIES, actor=person))
    before = everything()
    entries = read_back(exported(), tmp_path)
    plain = [
        {"table": "tokens", "retentionDays": 500, "ageColumn": "made", "owner": "X"},
        {**ENTRIES[1], "archiveDays": None, "dependents": []},
    ]
    in_force(policy_import(entries=plain, actor=person))
    assert everything() != before
    in_force(policy_import(entries=entries, actor=person))
    assert everything() == before


def test_what_a_plain_entry_does_not_say_stays_and_null_takes_it_away(
    tables: None, person: User
) -> None:
    in_force(policy_import(entries=ENTRIES[1:2], actor=person))
    name = str(ENTRIES[1]["name"])
    plain = {"name": name, "table": "users", "retentionDays": 3650, "ageColumn": "born"}
    archived = {**plain, "archiveBeforeDelete": True}
    said = {"excludeCondition": ENTRIES[1]["excludeCondition"]}

    in_force(policy_import(entries=[{**archived, **said}], actor=person))
    kept = terms_of(name)
    assert (kept.archive_days, kept.owner) == (30, "null")
    assert kept.dependents == (TableName("app", "Odd, name"),)
    assert kept.legal_basis == ENTRIES[1]["legalBasis"]

    cleared = {"archiveDays": None, "dependents": None, "owner": None, "legalBasis": None}
    in_force(policy_import(entries=[{**archived, **cleared}], actor=person))
    bare = terms_of(name)
    assert (bare.archive_days, bare.owner, bare.legal_basis) == (None, "", "")
    assert (bare.dependents, bare.keep_condition) == ((), None)


def test_a_proposal_that_waits_is_what_an_entry_leaves_as_it_is(tables: None, person: User) -> None:
    entry = {"table": "tokens", "retentionDays": 5, "ageColumn": "made"}
    (first,) = policy_import(entries=[{**entry, "owner": "Security"}], actor=person)
    (same,) = policy_import(entries=[entry], actor=person)
    assert (same.change, same.run) == ("waiting", first.run)


def test_entries_find_their_policy_by_name_else_by_the_only_one_of_the_table(
    tables: None, person: User
) -> None:
    entry: dict[str, Any] = {"table": "tokens", "retentionDays": 5, "ageColumn": "made"}
    in_force(policy_import(entries=[entry], actor=person))
    used = {**entry, "name": "used", "ageColumn": "used_at"}
    in_force(policy_import(entries=[{**entry, "retentionDays": 6}, used], actor=person))
    assert [(t.name, t.keep_hours) for t in everything()] == [("tokens", 144), ("used", 120)]
    with pytest.raises(Exception, match=r"several policies \(tokens, used\): say which with name"):
        policy_import(entries=[entry], actor=person)
    with pytest.raises(Exception, match="an earlier entry is for policy used already"):
        policy_import(entries=[used, used], actor=person)
    # Another table under a known name is a change of that policy.
    moved = {"name": "used", "table": "users", "retentionDays": 5, "ageColumn": "created_at"}
    (answer,) = policy_import(entries=[moved], actor=person)
    assert "in place of app.tokens" in answer.why[0]


def test_the_console_itself_reads_what_it_printed_as_json(tmp_path: Path) -> None:
    entries = [{"table": "t", "retentionDays": 1}]
    assert read_back('{"policies": [{"table": "t", "retentionDays": 1}]}', tmp_path) == entries


def exported(*, as_json: bool = False) -> str:
    return entries_text([terms_entry(each) for each in everything()], as_json=as_json)


def everything() -> list[PolicyTerms]:
    return [PolicyTerms.of(policy) for policy in RetentionPolicy.objects.order_by("name")]


def terms_of(name: str) -> PolicyTerms:
    return PolicyTerms.of(RetentionPolicy.objects.get(name=name))
