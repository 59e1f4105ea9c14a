"""The terms of soft delete of one table: what the command's options offer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldBooleanSwitchWidget

from operations.admin.table_words import rows_words
from retention.selectors.softdelete_choices import Choices, UniqueChoice
from retention.selectors.softdelete_closure import Edge
from retention.selectors.softdelete_plan import EnableAsked

LONGEST_GRACE = 36_500
_RULES = {
    "no action": "NO ACTION: its rows keep the record from being deleted, unless they go along",
    "restrict": "RESTRICT: its rows keep the record from being deleted, unless they go along",
    "set null": "SET NULL: it loses its reference, which a restore puts back",
    "set default": "SET DEFAULT: its reference is set, and a restore puts it back",
    "cascade": "CASCADE: its rows go along",
}


@dataclass(frozen=True)
class Line:
    """One box to tick."""

    name: str
    value: str
    title: str
    about: str
    notes: tuple[str, ...]
    checked: bool
    fixed: str
    """Why there is nothing to choose; empty when there is."""


class SoftDeleteForm(forms.Form):
    grace_days = forms.IntegerField(
        label="Grace, in days",
        min_value=1,
        max_value=LONGEST_GRACE,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="For so long a deleted record can be restored.",
    )
    capture_deletes = forms.BooleanField(
        label="Capture the application's DELETE",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Its own DELETE puts rows into the bin too. Otherwise only deletions through the "
        "console and custody.soft_delete(...) do.",
    )
    row_security = forms.BooleanField(
        label="Hide deleted rows by row-level security",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Policies hide them in the table too. They bind neither its owner nor a "
        "superuser: an application that connects as one has to read the view.",
    )
    hide_from = forms.MultipleChoiceField(label="Hide them from", required=False)
    along = forms.MultipleChoiceField(label="Tables that go along", required=False)
    unique_active = forms.MultipleChoiceField(label="Unique over active rows", required=False)

    def __init__(self, *args: Any, choices: Choices, **kwargs: Any) -> None:
        kwargs["initial"] = {**initial(choices), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        self.choices = choices
        self._offer("hide_from", choices.roles)
        self._offer("along", [str(each.table.name) for each in choices.along])
        self._offer("unique_active", [each.value for each in choices.uniques])

    def _offer(self, name: str, values: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(each, each) for each in values]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("row_security") and self.choices.roles and not given.get("hide_from"):
            self.add_error(
                "hide_from", "Choose a role at least, or leave row-level security switched off."
            )
        ticked = {*given.get("along", ()), *self._going()}
        for each in self.choices.uniques:
            table = str(each.unique.table)
            if each.value in given.get("unique_active", ()) and table not in ticked:
                self.add_error(
                    "unique_active",
                    f"{each.unique.name} is of {table}, which does not go along: tick that table "
                    "too, or leave its constraint as it is.",
                )
        return given

    def _going(self) -> set[str]:
        """Tables that go along whatever is ticked; and those below what is ticked, which the plan
        knows: of these nothing is refused here."""
        choosable = {str(each.table.name) for each in self.choices.along if not each.decided}
        base = {str(self.choices.table.name)} | {str(t.name) for t, _ in self.choices.cascading}
        return base | {str(e.unique.table) for e in self.choices.uniques} - choosable

    def asked(self) -> EnableAsked:
        """The choices; what is left as it is, is not asked for."""
        given, before = self.cleaned_data, initial(self.choices)

        def changed(name: str) -> Any:
            return given[name] if given[name] != before[name] else None

        decided = {str(each.table.name) for each in self.choices.along if each.decided}
        active = {each.value for each in self.choices.uniques if each.unique.active}
        hiding = given["row_security"] and set(given["hide_from"]) != set(before["hide_from"])
        return EnableAsked(
            capture_deletes=changed("capture_deletes"),
            row_security=changed("row_security"),
            grace_days=changed("grace_days"),
            along=tuple(each for each in given["along"] if each not in decided),
            unique_active=tuple(each for each in given["unique_active"] if each not in active),
            hide_from=tuple(given["hide_from"]) if hiding else None,
        )

    def query(self) -> dict[str, Any]:
        """For the address of the plan, and of the form as it was left."""
        given = self.cleaned_data
        found: dict[str, Any] = {"grace_days": given["grace_days"]}
        for name in ("capture_deletes", "row_security"):
            if given[name]:
                found[name] = "on"
        return {**found, **{n: given[n] for n in ("hide_from", "along", "unique_active")}}

    def roles(self) -> Iterator[Line]:
        chosen = self["hide_from"].value() or []
        for role in self.choices.roles:
            yield Line("hide_from", role, role, "", (), role in chosen, "")

    def tables(self) -> Iterator[Line]:
        chosen = self["along"].value() or []
        for each in self.choices.along:
            name, notes = str(each.table.name), tuple(key_words(edge) for edge in each.edges)
            fixed = ""
            if each.decided:
                fixed = "Decided already. To take it out, disable soft delete and enable it again."
            yield Line("along", name, name, rows_words(each.table), notes, name in chosen, fixed)

    def constraints(self) -> Iterator[Line]:
        chosen = self["unique_active"].value() or []
        for each in self.choices.uniques:
            unique = each.unique
            fixed = _fixed(each)
            yield Line(
                "unique_active",
                each.value,
                unique.name,
                f"{unique.table} ({', '.join(unique.columns)})",
                () if fixed else (each.stays, *each.warnings),
                each.value in chosen,
                fixed,
            )


def _fixed(each: UniqueChoice) -> str:
    if each.unique.active:
        return "Looks at active rows only already. Disabling soft delete makes it as it was."
    return f"Stays. {each.obstacle}" if each.obstacle else ""


def key_words(edge: Edge) -> str:
    """A foreign key with its rule: `user_id to shop.users, RESTRICT: ...`."""
    columns = ", ".join(edge.key.columns)
    return f"{columns} to {edge.parent}, {_RULES[edge.key.on_delete]}."


def initial(choices: Choices) -> dict[str, Any]:
    """The terms as they are, or as they are for a new table."""
    now = choices.current
    roles = now.hidden_from if now.row_security else list(choices.roles)
    return {
        "grace_days": now.grace_days,
        "capture_deletes": now.capture_deletes,
        "row_security": now.row_security,
        "hide_from": list(roles),
        "along": [str(each.table.name) for each in choices.along if each.decided],
        "unique_active": [each.value for each in choices.uniques if each.unique.active],
    }
