"""What one may look for in the bin."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.http import urlencode

from retention.models import Deletion, SoftDeleteTable
from retention.selectors.deletions import DeletionFilter

_CSS = {"class": "c-input", "autocomplete": "off"}


class DayInput(forms.DateInput):
    """The browser's own calendar."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__({"class": "c-input"}, format="%Y-%m-%d")


class DeletionForm(forms.Form):
    q = forms.CharField(
        label="What you remember",
        required=False,
        max_length=200,
        widget=forms.TextInput({**_CSS, "type": "search", "autofocus": True}),
    )
    state = forms.ChoiceField(
        required=False,
        choices=[("", "Any state"), *Deletion.State.choices],
        widget=forms.Select(_CSS),
    )
    table = forms.ChoiceField(required=False, widget=forms.Select(_CSS))
    who = forms.CharField(
        label="Deleted by",
        required=False,
        max_length=200,
        widget=forms.TextInput({**_CSS, "placeholder": "Part of a name"}),
    )
    since = forms.DateField(label="From", required=False, widget=DayInput)
    until = forms.DateField(label="Until", required=False, widget=DayInput)

    def __init__(self, given: QueryDict, *args: Any, sees_values: bool, **kwargs: Any) -> None:
        super().__init__(given, *args, **kwargs)
        self.fields["q"].widget.attrs["placeholder"] = (
            "A name, a mail address, a number, a day, who deleted it"
            if sees_values
            else "The deletion's number, a day, who deleted it, words of the reason"
        )
        self.tables = {str(each): each.table for each in SoftDeleteTable.objects.all()}
        field = self.fields["table"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "Any table"), *((name, name) for name in sorted(self.tables))]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        since, until = given.get("since"), given.get("until")
        if since and until and until < since:
            self.add_error("until", "That is before the beginning.")
        return given

    def asked(self) -> DeletionFilter:
        """Of a form that is right."""
        given = self.cleaned_data
        zone = timezone.get_current_timezone()
        since, until = (
            datetime.combine(day, time.min, zone) if day else None
            for day in (given["since"], given["until"])
        )
        return DeletionFilter(
            state=given["state"],
            table=self.tables.get(given["table"]),
            actor=given["who"],
            since=since,
            # The last day is one of them.
            until=until + timedelta(days=1) if until is not None else None,
        )

    @property
    def given(self) -> dict[str, str]:
        return {name: value for name in self.fields if (value := self.data.get(name))}

    def again(self, **more: str) -> str:
        """The query of the same list, with `more`; the search itself stands in no address."""
        kept = {name: value for name, value in self.given.items() if name != "q"}
        return urlencode({**kept, **more})
