"""A condition in a form: built of lines, or written as SQL. Works without scripts, line by line.

The lines come as `PREFIX-GROUP-LINE-column` and the like. The buttons that add and remove lines
submit the form; a script (custody/condition.js) does the same at once and shows the SQL meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from operations.admin.condition_words import column_choices, operator_choices, unit_choices
from operations.catalogue.types import Table
from operations.conditions.check import check_condition
from operations.conditions.describe import describe
from operations.conditions.exceptions import ConditionRefused
from operations.conditions.lines import Group, Join, Line, Lines, Operand
from operations.conditions.lines_read import LinesRefused, lines_read
from operations.conditions.lines_show import lines_show
from operations.conditions.nodes import Condition
from operations.conditions.parse import parse_condition

Mode = Literal["none", "lines", "text"]
MODES: dict[Mode, str] = {
    "none": "No condition",
    "lines": "Built here",
    "text": "Written as SQL",
}
MOST_LINES = 60
"""Of one form, so that nobody has the server draw a million."""

_COLUMN = re.compile(r"([0-9]{1,2})-([0-9]{1,2})-column")


@dataclass(frozen=True)
class Given:
    """A condition as a person gave it, right or wrong."""

    mode: Mode = "none"
    lines: Lines = field(default_factory=Lines)
    text: str = ""

    @classmethod
    def of(cls, condition: Condition | None, table: Table) -> Given:
        if condition is None:
            return cls()
        lines = lines_show(condition, table)
        text = describe(condition)
        return cls("text", text=text) if lines is None else cls("lines", lines, text)

    def read(self, table: Table, *, using: str = "default") -> Condition | None:
        """Raises LinesRefused, ConditionRefused."""
        if self.mode == "lines":
            return lines_read(self.lines, table, using=using)
        if self.mode == "none" or not self.text.strip():
            return None
        condition = parse_condition(self.text, table)
        check_condition(condition, table, using=using)
        return condition


class ConditionWidget(forms.Widget):
    def __init__(self, table: Table, *, using: str = "default") -> None:
        super().__init__()
        self.table, self.using = table, using

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Given:
        mode = data.get(f"{name}-mode")
        return Given(
            mode if mode in MODES else "none",
            _changed(_lines(data, name), data.get(f"{name}-more"), data.get(f"{name}-less")),
            str(data.get(f"{name}-text", "")),
        )

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return f"{name}-mode" not in data

    def id_for_label(self, id_: str | None) -> str:
        return ""

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        given = value if isinstance(value, Given) else Given()
        sql, problem, problems = said(given, self.table, using=self.using)
        return render_to_string(
            "custody/condition.html",
            {
                "name": name,
                "given": given,
                "modes": MODES.items(),
                "columns": column_choices(self.table),
                "operators": operator_choices(),
                "units": unit_choices(),
                "groups": [
                    (
                        group,
                        [(line, problems.get((g, n), "")) for n, line in enumerate(group.lines)],
                    )
                    for g, group in enumerate(given.lines.groups)
                ],
                "names": [column.name for column in self.table.columns],
                "blank": Line(),
                "blank_group": Group(),
                "blank_lines": [(Line(), "")],
                "sql": sql,
                "problem": problem,
            },
        )


class ConditionField(forms.Field):
    """Cleans to a Condition, or None. Its initial value is a Given, see `Given.of`."""

    widget: ConditionWidget

    def __init__(self, table: Table, *, using: str = "default", **more: Any) -> None:
        super().__init__(widget=ConditionWidget(table, using=using), required=False, **more)
        self.table, self.using = table, using

    def clean(self, value: Any) -> Condition | None:
        given = value if isinstance(value, Given) else Given()
        try:
            return given.read(self.table, using=self.using)
        except LinesRefused as error:
            count = len(error.problems)
            raise ValidationError(
                "A line is not right yet: see there."
                if count == 1
                else f"{count} lines are not right yet: see there."
            ) from error
        except ConditionRefused as error:
            raise ValidationError(str(error)) from error


def said(
    given: Given, table: Table, *, using: str = "default"
) -> tuple[str, str, dict[tuple[int, int], str]]:
    """The condition as SQL, what is wrong with it, and what is wrong with which line."""
    try:
        condition = given.read(table, using=using)
    except LinesRefused as error:
        return "", "", error.problems
    except ConditionRefused as error:
        return "", str(error), {}
    return describe(condition) if condition is not None else "", "", {}


def only_shaped(data: Mapping[str, Any], name: str) -> bool:
    """The form was sent to add or to remove a line, nothing else."""
    return f"{name}-more" in data or f"{name}-less" in data


def _lines(data: Mapping[str, Any], name: str) -> Lines:
    places: dict[int, list[int]] = {}
    for key in data:
        found = _COLUMN.fullmatch(key.removeprefix(f"{name}-")) if key.startswith(name) else None
        if found and sum(map(len, places.values())) < MOST_LINES:
            places.setdefault(int(found[1]), []).append(int(found[2]))
    groups = tuple(
        Group(
            tuple(_line(data, f"{name}-{group}-{line}") for line in sorted(lines)),
            _join(data.get(f"{name}-{group}-join")),
            bool(data.get(f"{name}-{group}-not")),
        )
        for group, lines in sorted(places.items())
    )
    return Lines(groups or (Group(),), _join(data.get(f"{name}-join")))


def _line(data: Mapping[str, Any], at: str) -> Line:
    def given(key: str) -> str:
        return str(data.get(f"{at}-{key}", ""))

    return Line(
        given("column"),
        given("operator") or "=",
        bool(given("not")),
        Operand(given("value"), given("unit")),
        Operand(given("value2"), given("unit2")),
    )


def _join(value: object) -> Join:
    return "or" if value == "or" else "and"


def _changed(lines: Lines, more: str | None, less: str | None) -> Lines:
    """With one line or group more, or one line less."""
    groups = list(lines.groups)
    if more == "group":
        groups.append(Group())
    elif more and more.isdecimal() and int(more) < len(groups):
        group = groups[int(more)]
        groups[int(more)] = replace(group, lines=(*group.lines, Line()))
    place = re.fullmatch(r"([0-9]{1,2})-([0-9]{1,2})", less or "")
    if place and int(place[1]) < len(groups):
        group = groups[int(place[1])]
        left = tuple(line for n, line in enumerate(group.lines) if n != int(place[2]))
        groups[int(place[1])] = replace(group, lines=left)
        groups = [group for group in groups if group.lines]
    return replace(lines, groups=cast("tuple[Group, ...]", tuple(groups) or (Group(),)))
