"""A condition in a form: what is typed comes back as it was typed, right or wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.http import QueryDict

from operations.admin.condition_field import MOST_LINES, ConditionField, Given, only_shaped
from operations.catalogue.types import Table
from operations.conditions.describe import describe
from operations.conditions.lines import Group, Line, Lines, Operand
from operations.conditions.nodes import Condition
from operations.conditions.parse import parse_condition
from tests.operations.conditions import create_table

pytestmark = pytest.mark.django_db


@pytest.fixture
def many() -> Table:
    return create_table()


def form_of(table: Table, data: Any = None, **more: Any) -> forms.Form:
    made = forms.Form(data, **more)
    made.fields["keep"] = ConditionField(table)
    return made


def posted(**given: str) -> QueryDict:
    """`_0_1_column` stands for `keep-0-1-column`."""
    data = QueryDict(mutable=True)
    for key, value in given.items():
        data["keep" + key.replace("_", "-")] = value
    return data


TWO_LINES = {
    "_mode": "lines",
    "_0_join": "or",
    "_0_0_column": "n",
    "_0_0_operator": "=",
    "_0_0_value": "1",
    "_0_1_column": "seen_at",
    "_0_1_operator": ">",
    "_0_1_value": "30",
    "_0_1_unit": "-day",
    "_0_1_not": "1",
}


def test_lines_that_were_posted_become_a_condition(many: Table) -> None:
    form = form_of(many, posted(**TWO_LINES))
    assert form.is_valid()
    said = describe(form.cleaned_data["keep"])
    assert said == "n = 1 OR NOT (seen_at > now() - interval '30 days')"
    assert said.replace("'", "&#x27;").replace(">", "&gt;") in str(form["keep"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"_mode": "none", "_text": "n = 1", "_0_0_column": "n"}, None),
        ({"_mode": "text", "_text": " "}, None),
        ({"_mode": "lines"}, None),
        ({}, None),
        ({"_mode": "text", "_text": "n=1 and(flagged)"}, "n = 1 AND flagged"),
    ],
)
def test_only_what_was_chosen_counts(many: Table, given: dict[str, str], said: str | None) -> None:
    form = form_of(many, posted(**given))
    assert form.is_valid()
    keep: Condition | None = form.cleaned_data["keep"]
    assert (describe(keep) if keep else None) == said


def test_a_wrong_line_is_told_at_its_line_and_keeps_what_was_typed(many: Table) -> None:
    form = form_of(many, posted(**{**TWO_LINES, "_0_0_value": "<many>"}))
    assert form.errors == {"keep": ["A line is not right yet: see there."]}
    shown = str(form["keep"])
    assert "&lt;many&gt;</textarea>" in shown
    assert "PostgreSQL says: invalid input syntax for type integer" in shown


def test_wrong_sql_is_told_with_the_piece_that_is_wrong(many: Table) -> None:
    form = form_of(many, posted(_mode="text", _text="n = (SELECT 1)"))
    assert "subqueries are not allowed" in form.errors["keep"][0]
    assert "n = (SELECT 1)</textarea>" in str(form["keep"])


def test_buttons_add_and_remove_lines_without_a_script(many: Table) -> None:
    def lines(**more: str) -> list[list[str]]:
        data = posted(**TWO_LINES, **more)
        given = form_of(many, data)["keep"].value()
        return [[line.column for line in group.lines] for group in given.lines.groups]

    assert only_shaped(posted(_more="0"), "keep")
    assert only_shaped(posted(_less="0-0"), "keep")
    assert not only_shaped(posted(_mode="lines"), "keep")
    assert lines() == [["n", "seen_at"]]
    assert lines(_more="0") == [["n", "seen_at", ""]]
    assert lines(_more="group") == [["n", "seen_at"], [""]]
    assert lines(_less="0-0") == [["seen_at"]]
    assert lines(_more="7", _less="9-9") == [["n", "seen_at"]]
    only = {"_mode": "lines", "_0_0_column": "n", "_less": "0-0"}
    assert form_of(many, posted(**only))["keep"].value().lines == Lines()


def test_a_condition_is_shown_as_lines_where_lines_can_say_it_and_as_sql_elsewhere(
    many: Table,
) -> None:
    simple = parse_condition("n = 1", many)
    assert Given.of(simple, many) == Given(
        "lines", Lines((Group((Line("n", "=", first=Operand("1")),)),)), "n = 1"
    )
    deep = parse_condition("n = 1 OR (flagged AND (n = 2 OR n = 3))", many)
    assert Given.of(deep, many) == Given("text", text=describe(deep))
    form = form_of(many, initial={"keep": Given.of(deep, many)})
    assert f"{describe(deep)}</textarea>" in str(form["keep"])


def test_a_column_that_is_gone_is_named(many: Table) -> None:
    shown = str(form_of(many, posted(_mode="lines", _0_0_column="lost", _0_0_value="1"))["keep"])
    assert "lost (gone)" in shown
    assert "has no column lost" in shown


def test_no_more_lines_are_drawn_than_a_person_writes(many: Table) -> None:
    data = posted(_mode="lines", **{f"_0_{n}_column": "n" for n in range(100)})
    (group,) = form_of(many, data)["keep"].value().lines.groups
    assert len(group.lines) == MOST_LINES
