"""What one may look for in the audit log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.http import urlencode

from auditing.admin.words import OPERATIONS
from auditing.models import TrackedTable
from auditing.selectors.log_filter import OWN, LogFilter

EVERY = "*"
"""The choice of all tables, the console's own too."""
_CSS = {"class": "c-input", "autocomplete": "off"}


class MomentInput(forms.DateTimeInput):
    """The browser's own calendar and clock."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__({"class": "c-input"}, format="%Y-%m-%dT%H:%M")


class LogForm(forms.Form):
    table = forms.ChoiceField(required=False, widget=forms.Select(_CSS))
    operation = forms.ChoiceField(
        label="What",
        required=False,
        choices=[("", "Anything"), *((str(key), text) for key, text in OPERATIONS.items())],
        widget=forms.Select(_CSS),
    )
    user = forms.CharField(
        label="Who",
        required=False,
        max_length=200,
        widget=forms.TextInput({**_CSS, "placeholder": "Name, id or address"}),
    )
    since = forms.DateTimeField(label="From", required=False, widget=MomentInput)
    until = forms.DateTimeField(label="Until", required=False, widget=MomentInput)
    request_id = forms.CharField(
        label="Request", required=False, max_length=200, widget=forms.TextInput(_CSS)
    )
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=200,
        widget=forms.TextInput({**_CSS, "placeholder": "Words of it"}),
    )

    def __init__(self, given: QueryDict, *args: Any, **kwargs: Any) -> None:
        super().__init__(given, *args, **kwargs)
        names = sorted({str(table) for table in TrackedTable.objects.all()})
        field = self.fields["table"]
        assert isinstance(field, forms.ChoiceField)
        own = any(name.startswith(f"{OWN}.") for name in names)
        field.choices = [
            ("", "Applications' tables" if own else "Any table"),
            *([(EVERY, "The console's own too")] if own else []),
            *((name, name) for name in names),
        ]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        since, until = given.get("since"), given.get("until")
        if since and until and until < since:
            self.add_error("until", "That is before the beginning.")
        return given

    def asked(self) -> LogFilter:
        """Of a form that is right."""
        given = self.cleaned_data
        until = given["until"]
        return LogFilter(
            table=given["table"] if given["table"] != EVERY else "",
            without_own=not given["table"],
            operation=given["operation"],
            user=given["user"],
            since=given["since"],
            # What is chosen to the minute includes that minute.
            until=until + timedelta(minutes=1) if until is not None else None,
            request_id=given["request_id"],
            reason=given["reason"],
        )

    def again(self, **more: str) -> str:
        """The query of the same list, with `more`."""
        kept = {name: value for name in self.fields if (value := self.data.get(name))}
        return urlencode({**kept, **more})

    @property
    def is_used(self) -> bool:
        return any(self.data.get(name) for name in self.fields)
