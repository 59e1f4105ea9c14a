"""Putting rows of an archive back: what would go where and what is in the way, then yes."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from unfold.widgets import (
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from operations.admin.confirm import ConfirmView, ReasonForm
from operations.admin.show import Fact, code, number
from operations.dispatch import wake
from operations.exceptions import CustodyError
from operations.models import Run
from operations.runs.states import RunState
from operations.selectors.runs import run_open_for
from retention.models import Archive
from retention.selectors.restore_choice import ColumnChoice, RestoreChoice
from retention.services.archive_rows import ArchiveRows
from retention.services.restore_rehearse import restore_rehearse
from retention.services.restore_start import restore_request
from retention.services.restore_work import refuse_unready

RESTORE = "retention.restore_archive"
MOST_REHEARSED = 200_000
"""Rows that are read before the page is shown; beyond it only the run tells what is in the way."""
_ROW = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")
_MOST_ROWS = 500
_NAMED = 10


class RestoreForm(ReasonForm):
    into_schema = forms.CharField(
        label="Into another schema",
        required=False,
        max_length=63,
        widget=UnfoldAdminTextInputWidget,
        help_text="A table of its own is made there for the rows. Nothing: their own table.",
    )
    with_dependents = forms.BooleanField(
        label="With what went along",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Also the rows of other tables that refer to these and went with them.",
    )
    left_out = forms.CharField(
        label="Leave columns out",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Archived columns that the table has no more, with commas between.",
    )
    field_order = ("into_schema", "with_dependents", "left_out", "reason")

    def __init__(self, *args: Any, has_dependents: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_dependents:
            del self.fields["with_dependents"]


class ArchiveRestoreView(ConfirmView):
    """The rows that were chosen are posted here; nothing happens before the reason is."""

    form_class: type[forms.Form] = RestoreForm
    button = "Restore"
    run: Run | None = None

    def has_permission(self) -> bool:
        return self.model_admin.has_view_permission(self.request) and self.request.user.has_perm(
            RESTORE
        )

    def find(self) -> Archive | None:
        archives = Archive.objects.select_related("policy", "run")
        return archives.filter(pk=self.kwargs["pk"]).first()

    def not_now(self) -> str:
        refuse_unready(self.object)
        asked = self.request.POST
        if "chosen" in asked and not self._rows and "all" not in asked:
            return "No row was chosen."
        return ""

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs()
        if "reason" not in self.request.POST:
            # Rows were chosen on the page before; nothing is asked of the form yet.
            kwargs.pop("data", None)
            kwargs.pop("files", None)
        return {**kwargs, "has_dependents": self.object.dependents.exists()}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "reason" not in request.POST:
            return self.render_to_response(self.get_context_data())
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer

    def act(self, reason: str) -> str:
        archive: Archive = self.object
        choice = self._choice(self.get_form_data())
        self.run = restore_request(
            archive=archive, choice=choice, requester=self.person, reason=reason
        )
        what = "; ".join(f"{name}: {value}" for name, value in choice.facts().items()
                         if name != "rows_where") or "all rows"  # fmt: skip
        self.model_admin.log_change(self.request, archive, f"{self.run}: {what}. Reason: {reason}")
        if self.run.current is RunState.QUEUED:
            wake(self.run.pk)
        return f"{self.run}: {self.run.current.label.lower()}."

    def back(self) -> str:
        if self.run is not None:
            return reverse("admin:operations_run_change", args=[self.run.pk])
        return reverse("admin:retention_archive_change", args=[self.kwargs["pk"]])

    def get_form_data(self) -> dict[str, Any]:
        form = self.get_form()
        return form.cleaned_data if form.is_valid() else {}

    def _choice(self, given: dict[str, Any]) -> RestoreChoice:
        left_out = [name.strip() for name in given.get("left_out", "").split(",") if name.strip()]
        return RestoreChoice(
            self._where,
            self._rows,
            ColumnChoice(left_out=frozenset(left_out)),
            given.get("into_schema", "").strip(),
            given.get("with_dependents", False),
        )

    @cached_property
    def _rows(self) -> tuple[tuple[int, int], ...]:
        if "all" in self.request.POST:
            return ()
        found = map(_ROW.fullmatch, self.request.POST.getlist("row")[:_MOST_ROWS])
        return tuple((int(each[1]), int(each[2])) for each in found if each)

    @cached_property
    def _where(self) -> Any:
        text = "" if self._rows else self.request.POST.get("where", "").strip()
        if not text or not self.request.user.has_perm("retention.search_archive"):
            return None
        return ArchiveRows(self.object, using=self.object.run.database).condition(text)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        archive: Archive = self.object
        facts, why = self._looked()
        what = f"{len(self._rows):,} rows" if self._rows else "Rows" if self._where else "All rows"
        self.title = f"Restore from {archive.name}"
        self.consequence = (
            "A run is made. It puts back what is missing and overwrites nothing: a row that "
            "something stands in the way of is reported. The rows are past their term: the next "
            "purge takes them again unless the term is changed, or they go into another schema."
        )
        hidden = [("row", f"{part}:{line}") for part, line in self._rows]
        if self._where is not None:
            hidden.append(("where", self.request.POST["where"]))
        return super().get_context_data(
            **kwargs,
            question=f"{what} of {archive.schema_name}.{archive.table_name}: put back?",
            facts_title="What it would do",
            facts=facts,
            why=why,
            why_title="In the way",
            hidden_pairs=hidden,
        )

    def _looked(self) -> tuple[list[Fact], str]:
        archive: Archive = self.object
        facts = [
            Fact("Archive", archive.name),
            Fact("Table", code(f"{archive.schema_name}.{archive.table_name}")),
            Fact("Rows in the archive", number(archive.rows)),
        ]
        try:
            choice = self._choice({})
            if choice.where is not None:
                facts.append(Fact("Only rows where", code(choice.facts()["rows_where"])))
            if choice.rows:
                facts.append(Fact("Only chosen rows", number(len(choice.rows))))
            facts += self._open_run()
            parts = {part for part, _ in choice.rows}
            rows = sum(
                each.rows for each in archive.parts.all() if not parts or each.number in parts
            )
            if rows > MOST_REHEARSED:
                hint = "too many rows to look at each before; the run reports them"
                return [*facts, Fact("In the way", "not looked for", hint)], ""
            return facts + _told(restore_rehearse(archive=archive, choice=choice)), ""
        except CustodyError as error:
            return facts, str(error)

    def _open_run(self) -> list[Fact]:
        run = run_open_for(kind="archive_restore", subject=self.object.name)
        if run is None:
            return []
        return [Fact("There is a run already", f"{run} is {run.current.label.lower()}")]


def _told(found: dict[str, Any]) -> list[Fact]:
    checks = "checks, triggers and missing partitions show only when the rows go in"
    facts = [
        Fact("Would go back", number(found["restorable"]), checks),
        Fact("There already", number(found["already_there"])),
        Fact("Something in the way", number(found["conflict_count"])),
    ]
    facts += [
        Fact(f"Row {each['key'] or '{part}:{line}'.format(**each)}", each["why"])
        for each in found["conflicts"][:_NAMED]
    ]
    return facts
