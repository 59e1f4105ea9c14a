"""Bringing a deletion back: what would come, what is in the way and what to do about it, then yes.

What it would do is found by doing it and taking it back. Restoring needs nobody else.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from auditing.admin.words import actor_name
from operations.admin.confirm import ConfirmView
from operations.admin.show import Fact, clock, number
from operations.catalogue.read import tables_by_oid
from operations.catalogue.types import Table, TableName
from operations.exceptions import CustodyError
from operations.record_ids import NoRecordId
from retention.admin.deletion_conflicts import Ask, asks_given, asks_now, choices_of
from retention.admin.deletion_facts import level_shown
from retention.admin.deletion_rows import ticked
from retention.admin.deletion_words import (
    RESTORE,
    deletion_url,
    record_shown,
    records_words,
    rows_of,
    title_of,
    tracked_tables,
    whole_number,
)
from retention.models import Deletion
from retention.selectors.deletion_roots import deletion_roots
from retention.selectors.deletion_rows import MOST_NAMED, deletion_record_ids
from retention.selectors.deletions import deletion_rows_now
from retention.selectors.preview_budget import TooSlow
from retention.services.record_restore import (
    ChosenRow,
    RestoreConflicts,
    RestoredDeletion,
    record_restore,
)

MOST_TRIED = 20_000
"""Rows that are tried before the page is shown; of more only the restore itself tells."""
LINKED = 5
"""Records of what came back that the message leads to."""
_TABLES = 100


class RestoreDeletionForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="If you like. Your name and the time are kept with it anyway.",
    )


class DeletionRestoreView(ConfirmView):
    """The rows that were ticked are posted here; nothing happens before it is confirmed."""

    form_class: type[forms.Form] = RestoreDeletionForm
    template_name = "retention/deletion_restore.html"
    button = "Restore"
    consequence = (
        "It is in its tables again at once, for the application too. The log keeps who restored it."
    )

    def has_permission(self) -> bool:
        return bool(
            self.model_admin.has_view_permission(self.request)
            and self.request.user.has_perm(RESTORE)
        )

    def find(self) -> Deletion | None:
        found = Deletion.objects.select_related("split_from", "run").prefetch_related("tables")
        return found.filter(pk=self.kwargs["pk"]).first()

    def back(self) -> str:
        return deletion_url(self.kwargs["pk"])

    def not_now(self) -> str:
        self.asks: list[Ask] = asks_given(self.request.POST)
        self.wrong = ""
        self.tree: list[tuple[str, int, str]] = []
        return why_not(self.object) or self._nothing_ticked()

    def _nothing_ticked(self) -> str:
        return "Nothing was ticked." if "chosen" in self.request.POST and not self._rows else ""

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs()
        if "reason" not in self.request.POST:
            # Rows were ticked on the page before; nothing is asked of the form yet.
            kwargs.pop("data", None)
            kwargs.pop("files", None)
        return kwargs

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "confirmed" not in request.POST:
            return self.render_to_response(self.get_context_data())
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer

    def form_valid(self, form: forms.Form) -> HttpResponse:
        deletion: Deletion = self.object
        reason = form.cleaned_data["reason"]
        undecided = [ask for ask in self.asks if ask.columns and not ask.do]
        if undecided:
            self.wrong = "Say first what becomes of each record that something is in the way of."
            return self.render_to_response(self.get_context_data(form=form))
        try:
            done = self._restore(reason=reason, dry_run=False)
        except RestoreConflicts as error:
            self.found: RestoredDeletion | None = error.found
            self.wrong = "Nothing was restored: something is in the way still."
            return self.render_to_response(self.get_context_data(form=form))
        except CustodyError as error:
            return self._refused(error, form)
        told = f"{_came_back(done)} {_besides(done)}".strip()
        self.model_admin.log_change(
            self.request, deletion, f"{told}{f' Reason: {reason}' if reason else ''}"
        )
        messages.success(self.request, self._told_with_links(done, told))
        return HttpResponseRedirect(resolve_url(deletion_url(done.restored_id or done.deletion.pk)))

    def _refused(self, error: CustodyError, form: forms.Form) -> HttpResponse:
        """Somebody else was faster, or a value does not fit: that can be put right here."""
        now = Deletion.objects.get(pk=self.object.pk)
        if why_not(now):
            return self._told(messages.ERROR, why_not(now), self.back())
        if self.asks:
            self.wrong, self.found = str(error), None
            return self.render_to_response(self.get_context_data(form=form))
        return self._told(messages.ERROR, str(error), self.back())

    def _restore(self, *, reason: str = "", dry_run: bool) -> RestoredDeletion:
        chosen = self._chosen
        return record_restore(
            deletion_id=self.object.pk,
            rows=chosen or None,
            choices=choices_of(self.asks),
            parents="parents" in self.request.POST,
            actor=self.person,
            reason=reason,
            dry_run=dry_run,
            using=self.object.database,
        )

    @cached_property
    def _tables(self) -> dict[int, Table]:
        oids = {each.table_oid for each in self.object.tables.all()} | {self.object.table_oid}
        return tables_by_oid(oids, using=self.object.database)

    @cached_property
    def _tracked(self) -> dict[TableName, int]:
        names = [each.name for each in self._tables.values()]
        return tracked_tables(names, self.request.user, using=self.object.database)

    @cached_property
    def _rows(self) -> list[tuple[int, str]]:
        """Ticked one by one, and those of tables that were ticked as a whole."""
        found = dict.fromkeys(ticked(self.request.POST.getlist("row")))
        for text in self.request.POST.getlist("all")[:_TABLES]:
            table = self._tables.get(whole_number(text))
            if table is None:
                continue
            try:
                ids = deletion_record_ids(self.object, table, using=self.object.database)
            except (NoRecordId, TooSlow):
                messages.warning(
                    self.request,
                    f"The rows of {table.name} could not be read in time, so none of them is among "
                    "these: tick them one by one, or restore the whole deletion.",
                )
                continue
            found |= dict.fromkeys((table.oid, record) for record in ids[:MOST_NAMED])
        return [(oid, record) for oid, record in found if oid in self._tables]

    @cached_property
    def _chosen(self) -> list[ChosenRow]:
        # The first look has no say yet about what hangs on the rows: it comes along.
        below = "below" in self.request.POST or "asked" not in self.request.POST
        return [ChosenRow(str(self._tables[oid].name), record, below) for oid, record in self._rows]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        deletion: Deletion = self.object
        roots = deletion_roots([deletion]).get(deletion.pk, [])
        name = title_of(deletion, roots, masks=False)
        self.title = f"Restore {name}"
        facts, asks, others = self._looked()
        rows = len(self._rows)
        context = super().get_context_data(
            **kwargs,
            question=f"Restore {records_words(rows)} of this?" if rows else f"Restore {name}?",
            facts_title="What would come back",
            facts=facts,
            tree=self.tree,
            asks=asks,
            others=others,
            wrong=self.wrong,
            offers_parents=any(ask.parents for ask in asks) or "parents" in self.request.POST,
            parents="parents" in self.request.POST,
            is_part=bool(rows),
            below="below" in self.request.POST or "asked" not in self.request.POST,
            hidden_pairs=[
                *(("row", text) for text in self.request.POST.getlist("row")),
                *(("all", text) for text in self.request.POST.getlist("all")),
            ],
        )
        return {**context, "original": f"{deletion}, {deletion.table}"}

    def _looked(self) -> tuple[list[Fact], list[Ask], list[str]]:
        """What would come back, what is asked, and what nobody can be asked about."""
        found: RestoredDeletion | None = getattr(self, "found", None)
        rows = deletion_rows_now(self.object)
        about = [Fact("Deleted", clock(self.object.deleted_at), self._by())]
        if found is None and not self.wrong:
            if rows > MOST_TRIED and not self._rows:
                hint = "too many to try each before; if something is in the way, nothing is changed"
                return [*about, Fact("Records", number(rows), hint)], [], []
            try:
                found = self._restore(dry_run=True)
            except CustodyError as error:
                return about, self.asks, [str(error)]
        conflicts = found.conflicts if found is not None else ()
        asked = [each for each in conflicts if each.kind != "error"]
        others = [each.message for each in conflicts if each.kind == "error"]
        asks = asks_now(self.asks, asked, self._tracked, using=self.object.database)
        if found is not None and not conflicts:
            about += _would(found)
            self.tree = self._tree(found)
        elif rows:
            about.append(Fact("Records in it", number(rows), "none comes back before all can"))
        return about, asks, others

    def _tree(self, found: RestoredDeletion) -> list[tuple[str, int, str]]:
        """In the order in which it went; what comes from other deletions first."""
        levels = {str(each.table): each.level for each in self.object.tables.all()}
        return sorted(
            [
                (table, level_shown(levels.get(table, 0)), number(rows))
                for table, rows in found.tables
                if rows
            ],
            key=lambda each: (each[1], each[0]),
        )

    def _by(self) -> str:
        return f"by {actor_name(self.object.actor)}"

    def _told_with_links(self, done: RestoredDeletion, told: str) -> SafeString:
        """Some of the records that came back, where they have pages."""
        tracked = self._tracked
        table = self._tables.get(done.deletion.table_oid)
        shown = [
            (record_shown(self._tables[oid].name, record, tracked, masks=False),)
            for oid, record in self._rows[:LINKED]
            if self._tables[oid].name in tracked
        ]
        if not shown and table is not None and table.name in tracked and self.object.record_id:
            shown = [(record_shown(table.name, self.object.record_id, tracked, masks=False),)]
        if not shown:
            return format_html("{}", told)
        links = format_html_join(", ", "{}", shown)
        return format_html("{} Its record: {}", told, links)


def why_not(deletion: Deletion) -> str:
    """Why it cannot be restored; empty when it can."""
    by = actor_name(deletion.restored_by) or "somebody"
    match deletion.current:
        case Deletion.State.RESTORED:
            at = f" on {clock(deletion.restored_at)}" if deletion.restored_at else ""
            return f"{str(deletion).capitalize()} was restored by {by}{at} already."
        case Deletion.State.PURGING:
            return f"{str(deletion).capitalize()} is being destroyed: it is too late."
        case Deletion.State.PURGED:
            return f"{str(deletion).capitalize()} was destroyed."
        case Deletion.State.REFUSED:
            return "That was refused: nothing was deleted, so there is nothing to restore."
        case _:
            return ""


def _would(found: RestoredDeletion) -> list[Fact]:
    facts = [Fact("Records", number(found.rows), "tried just now, and taken back")]
    for count, label, hint in (
        (found.references_back, "References put back", "they were set because of this deletion"),
        (found.references_changed, "References left", "somebody set them since"),
        (found.references_gone, "References without a row", "the row that referred is gone"),
    ):
        if count:
            facts.append(Fact(label, number(count), hint))
    if found.left_id is not None:
        facts.append(Fact("Stays in the bin", "what is skipped", "as a deletion of its own"))
    return facts


def _came_back(done: RestoredDeletion) -> str:
    """`Restored: 1 row of shop.users, 3 rows of shop.orders.`"""
    told = ", ".join(rows_of(rows, table) for table, rows in done.tables if rows)
    return f"Restored: {told or 'nothing'}."


def _besides(done: RestoredDeletion) -> str:
    told = []
    if done.references_back:
        plural = "" if done.references_back == 1 else "s"
        told.append(f"{number(done.references_back)} reference{plural} put back.")
    if done.references_changed:
        told.append(f"{number(done.references_changed)} left as somebody set them since.")
    if done.left_id is not None:
        told.append(f"What was skipped stays in the bin as deletion {done.left_id}.")
    return " ".join(told)
