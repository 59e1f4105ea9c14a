"""How each column is audited: kept, masked or left out, and whether it makes versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from unfold.widgets import UnfoldBooleanSwitchWidget

from auditing.models import Handling
from operations.admin.confirm import ReasonForm

SECRET = ("password", "passwd", "secret", "token", "_hash", "api_key")
"""What a column's name has in it that one would rather mask: suggested, not decided."""


@dataclass(frozen=True)
class AuditedColumn:
    """A column as the form shows it."""

    name: str
    type: str
    handling: str = Handling.CAPTURED
    significant: bool = True
    in_key: bool = False
    generated: str = ""

    @property
    def note(self) -> str:
        if self.in_key:
            return "names the row: always kept"
        if self.generated == "virtual":
            return "computed again when it is read"
        return "computed by the table" if self.generated else ""


@dataclass(frozen=True)
class ColumnLine:
    column: AuditedColumn
    handling: BoundField | None
    """None where there is nothing to choose."""
    significant: BoundField | None


class ColumnForm(ReasonForm):
    """A line a column, whether a reason is asked of those who change rows, and the reason."""

    reason_required = forms.BooleanField(
        label="Refuse a change without a reason",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="The application has to say why before it writes to this table.",
    )

    def __init__(
        self, *args: Any, columns: Sequence[AuditedColumn], reason_required: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.columns = columns
        self.fields["reason_required"].initial = reason_required
        for place, column in enumerate(columns):
            if column.in_key or column.generated == "virtual":
                continue
            self.fields[f"handling-{place}"] = forms.ChoiceField(
                choices=Handling.choices,
                initial=column.handling,
                widget=forms.Select(
                    {"class": "c-input", "aria-label": f"How {column.name} is kept"}
                ),
            )
            self.fields[f"significant-{place}"] = forms.BooleanField(
                label=f"A change of {column.name} makes a version",
                required=False,
                initial=column.significant,
            )

    def lines(self) -> Iterator[ColumnLine]:
        for place, column in enumerate(self.columns):
            chosen = f"handling-{place}" in self.fields
            yield ColumnLine(
                column,
                self[f"handling-{place}"] if chosen else None,
                self[f"significant-{place}"] if chosen else None,
            )

    def about(self) -> list[BoundField]:
        """The fields that are not of one column."""
        return [self["reason_required"], self["reason"]]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.errors and not self.significant and self._chosen:
            self.add_error(None, "Some change has to make a version: choose a column at least.")
        return given

    @property
    def _chosen(self) -> list[tuple[int, AuditedColumn]]:
        return [
            (place, column)
            for place, column in enumerate(self.columns)
            if f"handling-{place}" in self.fields
        ]

    def handled(self, how: Handling) -> list[str]:
        """Names of the columns that are to be kept so."""
        return [
            column.name
            for place, column in self._chosen
            if self.cleaned_data[f"handling-{place}"] == how
        ]

    @property
    def significant(self) -> list[str]:
        """Names of the columns whose change makes a version, and that are not left out."""
        left_out = self.handled(Handling.EXCLUDED)
        return [
            column.name
            for place, column in self._chosen
            if self.cleaned_data[f"significant-{place}"] and column.name not in left_out
        ]

    @property
    def all_significant(self) -> bool:
        left_out = self.handled(Handling.EXCLUDED)
        return len(self.significant) == sum(c.name not in left_out for _, c in self._chosen)


def suggested(name: str) -> str:
    """How a column of this name would mostly be kept."""
    return Handling.MASKED if any(word in name.lower() for word in SECRET) else Handling.CAPTURED
