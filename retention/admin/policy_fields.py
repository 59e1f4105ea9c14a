"""The fields of a policy's form, with what they say to people."""

from __future__ import annotations

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from retention.services.policy_terms_check import MOST_BASIS, MOST_DAYS, MOST_NAME, MOST_OWNER

UNITS = {"days": "days", "hours": "hours", "ever": "for ever"}
HOURS = {"days": 24, "hours": 1}


def name() -> forms.CharField:
    return forms.CharField(
        max_length=MOST_NAME,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
        help_text="As the retention schedule calls it. It stays: runs and archives bear it.",
    )


def owner() -> forms.CharField:
    return forms.CharField(
        max_length=MOST_OWNER,
        required=False,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
        help_text="Who answers for it: a person or an office.",
    )


def legal_basis() -> forms.CharField:
    return forms.CharField(
        max_length=MOST_BASIS,
        required=False,
        label="Legal basis",
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="The duty or purpose that the term follows from. It stands in each certificate.",
    )


def enabled() -> forms.BooleanField:
    return forms.BooleanField(
        required=False,
        label="In force",
        widget=UnfoldBooleanWidget,
        help_text="While it is off, no purge touches the table's rows.",
    )


def amount() -> forms.IntegerField:
    return forms.IntegerField(
        min_value=0,
        max_value=24 * MOST_DAYS,
        required=False,
        label="Kept for",
        widget=UnfoldAdminIntegerFieldWidget({"inputmode": "numeric"}),
    )


def unit() -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=list(UNITS.items()), label="Unit", widget=UnfoldAdminSelectWidget
    )


def age_column() -> forms.ChoiceField:
    return forms.ChoiceField(
        required=False,
        label="Counted from",
        widget=UnfoldAdminSelectWidget,
        help_text="A row whose age is unknown (null) is kept.",
    )


def soft_delete() -> forms.BooleanField:
    return forms.BooleanField(
        required=False,
        label="Into the bin first",
        widget=UnfoldBooleanWidget,
        help_text=(
            "Due rows can be restored until the grace of their table is over; whatever is in its "
            "bin is destroyed then."
        ),
    )


def archive_first() -> forms.BooleanField:
    return forms.BooleanField(
        required=False,
        label="Archive the rows before they are deleted",
        widget=UnfoldBooleanWidget,
    )


def archive_days() -> forms.IntegerField:
    return forms.IntegerField(
        min_value=1,
        max_value=MOST_DAYS,
        required=False,
        label="Days the archive is kept",
        widget=UnfoldAdminIntegerFieldWidget({"inputmode": "numeric"}),
        help_text="Then it is destroyed too, with a certificate. Empty: kept for ever.",
    )


def dependents() -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        required=False, label="Go along", widget=forms.CheckboxSelectMultiple
    )


def reason() -> forms.CharField:
    return forms.CharField(
        max_length=500,
        label="Reason for the change",
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="Kept with the version, with your name and the time.",
    )
