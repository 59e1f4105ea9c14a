"""The terms of a policy as a form, made for one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from operations.admin.condition_field import ConditionField, Given
from operations.catalogue.types import Column, Table, TableName
from retention.admin import policy_fields as fields
from retention.models import RetentionPolicy
from retention.selectors.due import RANGE_TYPES
from retention.services.policy_terms import PolicyTerms
from retention.services.policy_terms_check import is_age, terms_problems

FIELDS = {
    "name": "name",
    "owner": "owner",
    "legal basis": "legal_basis",
    "kept for": "amount",
    "counted from": "age_column",
    "kept while": "keep",
    "then": "archive_days",
    "soft deletion first": "soft_delete",
    "go along": "dependents",
}
"""Where a problem with a term is told."""


class PolicyForm(forms.Form):
    name = fields.name()
    owner = fields.owner()
    legal_basis = fields.legal_basis()
    enabled = fields.enabled()
    amount = fields.amount()
    unit = fields.unit()
    age_column = fields.age_column()
    soft_delete = fields.soft_delete()
    archive_first = fields.archive_first()
    archive_days = fields.archive_days()
    dependents = fields.dependents()
    reason = fields.reason()

    def __init__(
        self,
        *args: Any,
        table: Table,
        policy: RetentionPolicy | None,
        around: Sequence[TableName],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.table, self.policy = table, policy
        self.fields["age_column"].choices = age_choices(table)  # type: ignore[attr-defined]
        self.fields["dependents"].choices = [  # type: ignore[attr-defined]
            (text_of(name), str(name)) for name in around
        ]
        self.fields["keep"] = ConditionField(table, label="Kept while")
        if policy is not None:
            # Its runs, archives and certificates are found by it.
            self.fields["name"].disabled = True
            self.fields["name"].initial = policy.name

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        if self.policy is None and RetentionPolicy.objects.filter(name=name).exists():
            raise forms.ValidationError(f"There is a policy {name!r} already: change that one.")
        return name

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("unit") != "ever":
            if given.get("amount") is None and "amount" not in self.errors:
                self.add_error("amount", "Say how long, or choose for ever.")
            if not given.get("age_column") and "age_column" not in self.errors:
                self.add_error("age_column", "Choose the column that tells a row's age.")
        if not self.errors:
            for problem in terms_problems(self.terms()):
                self.add_error(FIELDS.get(problem.term), str(problem))
        return given

    def terms(self) -> PolicyTerms:
        """What was given so far; what is not right is left out."""
        given = self.cleaned_data
        hours = None if given["unit"] == "ever" else given["amount"] * fields.HOURS[given["unit"]]
        archived = given["archive_first"] and (hours is not None or given["soft_delete"])
        return PolicyTerms(
            name=given.get("name", ""),
            table=self.table.name,
            age_column=given["age_column"] if hours is not None else "",
            keep_hours=hours,
            keep_condition=given["keep"],
            archive_first=archived,
            archive_days=given["archive_days"] if archived else None,
            soft_delete=given["soft_delete"],
            dependents=tuple(map(table_of, given.get("dependents", []))),
            owner=given.get("owner", "").strip(),
            legal_basis=given.get("legal_basis", "").strip(),
            enabled=given["enabled"],
        )


def initial(terms: PolicyTerms, table: Table) -> dict[str, Any]:
    """What a form begins with that shows these terms."""
    hours = terms.keep_hours
    in_days = hours is not None and hours % 24 == 0
    return {
        "name": terms.name,
        "owner": terms.owner,
        "legal_basis": terms.legal_basis,
        "enabled": terms.enabled,
        "amount": hours // 24 if hours is not None and in_days else hours,
        "unit": "ever" if hours is None else "days" if in_days else "hours",
        "age_column": terms.age_column,
        "soft_delete": terms.soft_delete,
        "archive_first": terms.archive_first,
        "archive_days": terms.archive_days,
        "dependents": [text_of(name) for name in terms.dependents],
        "keep": Given.of(terms.keep_condition, table),
    }


def initial_new(table: Table) -> dict[str, Any]:
    """What the form of a new policy begins with: what most people would choose."""
    ages = [name for name, _ in age_choices(table)[1:]]
    likely = "created_at" if "created_at" in ages else ages[0] if len(ages) == 1 else ""
    return {
        "name": table.name.name,
        "enabled": True,
        "age_column": likely,
        "unit": "days" if ages else "ever",
        "keep": Given(),
    }


def age_choices(table: Table) -> list[tuple[str, str]]:
    found = [(column.name, _age_words(column)) for column in table.columns if is_age(column)]
    return [("", "Choose a column"), *found]


def _age_words(column: Column) -> str:
    bound = ": its upper bound" if column.base_type in RANGE_TYPES else ""
    return f"{column.name} ({column.type}){bound}"


def text_of(name: TableName) -> str:
    """A table as the value of a checkbox: a control character stands between its names."""
    return f"{name.schema}\x1f{name.name}"


def table_of(text: str) -> TableName:
    schema, _, name = text.partition("\x1f")
    return TableName(schema, name)
