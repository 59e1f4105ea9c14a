"""The forms of holds: which table, and what of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from operations.admin.condition_field import ConditionField, Given
from operations.admin.confirm import ReasonForm
from operations.catalogue.read import tables
from operations.catalogue.types import Table
from operations.conditions.describe import describe
from operations.exceptions import CustodyError
from retention.models import LegalHold
from retention.services.hold_place import ScopeAsked, ScopeCovers, hold_preview

KINDS = {
    "table": "All of the table",
    "condition": "Rows that meet a condition",
    "rows": "Rows by their keys",
}
MOST_PASTED = 2_000_000
"""Characters of keys; a file of more is for `manage.py hold_place --rows-from`."""


class DayInput(UnfoldAdminTextInputWidget):
    """The browser's own calendar."""

    input_type = "date"


class TableForm(forms.Form):
    """Which table."""

    table = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="A table or a partition.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["table"]
        assert isinstance(field, forms.ChoiceField)
        names = sorted(str(table.name) for table in tables())
        field.choices = [(name, name) for name in names]


class PlaceForm(forms.Form):
    """A scope, and the case it belongs to."""

    case_id = forms.CharField(
        label="Case",
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="As the case is called: 2031-17. A case that has a hold gets this as well.",
    )
    reason = forms.CharField(
        max_length=2000,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="Why these rows must stay. It is kept with the hold.",
    )
    review_on = forms.DateField(
        label="Review on",
        required=False,
        widget=DayInput,
        help_text="Somebody is reminded then to look whether it is still needed.",
    )
    kind = forms.ChoiceField(choices=list(KINDS.items()), initial="condition")
    keys = forms.CharField(
        required=False,
        max_length=MOST_PASTED,
        strip=False,
        widget=forms.Textarea({"rows": 8, "class": "c-input", "spellcheck": "false"}),
    )
    missing_ok = forms.BooleanField(
        label="Hold keys without a row too",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="As of rows that are in an archive, or that may come back.",
    )

    def __init__(self, *args: Any, table: Table, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table
        self.fields["condition"] = ConditionField(table, initial=Given("lines"))

    def clean_review_on(self) -> Any:
        day = self.cleaned_data["review_on"]
        if day is not None and day <= timezone.localdate():
            raise forms.ValidationError("A day after today.")
        return day

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        kind = given.get("kind")
        # What was written for another kind does not count, right or wrong.
        if kind != "condition":
            self.errors.pop("condition", None)
        elif given.get("condition") is None and "condition" not in self.errors:
            self.add_error("condition", "Write the condition, or hold all of the table.")
        if kind == "rows" and not (given.get("keys") or "").strip():
            self.add_error("keys", "One key a line.")
        if not self.errors:
            self._preview()
        return given

    @property
    def asked(self) -> ScopeAsked:
        given = self.cleaned_data
        kind = given["kind"]
        return ScopeAsked(
            self.table.name,
            where=describe(given["condition"]) if kind == "condition" else "",
            rows=given["keys"].splitlines() if kind == "rows" else None,
            missing_ok=given["missing_ok"],
        )

    def _preview(self) -> None:
        try:
            self.covers: ScopeCovers = hold_preview(self.asked)
        except CustodyError as error:
            self.add_error("keys" if self.cleaned_data["kind"] == "rows" else None, str(error))

    def again(self) -> dict[str, Any]:
        """What the page that confirms sends once more."""
        given = self.cleaned_data
        return {
            "case_id": given["case_id"],
            "reason": given["reason"],
            "review_on": given["review_on"].isoformat() if given["review_on"] else "",
            "kind": given["kind"],
            "condition-mode": "text",
            "condition-text": self.asked.where,
            "keys": given["keys"] if given["kind"] == "rows" else "",
            **({"missing_ok": "on"} if given["missing_ok"] else {}),
        }


class ReviewForm(ReasonForm):
    """It stays; when somebody looks again."""

    next_on = forms.DateField(label="Next review", widget=DayInput)
    field_order = ("next_on", "reason")


def initial_of(hold: LegalHold | None) -> dict[str, Any]:
    """For a further scope of a hold there is."""
    return {} if hold is None else {"case_id": hold.case_id, "review_on": hold.review_on}
