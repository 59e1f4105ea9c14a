"""Decisions about a hold that there is: it stays until another day, or it is released."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from operations.admin.confirm import ConfirmView, ReasonForm, SignedReasonForm
from operations.admin.show import Fact, joined, link
from retention.admin.hold_forms import ReviewForm
from retention.admin.hold_words import hold_summary
from retention.models import LegalHold
from retention.selectors.hold_follows import Release, release_preview
from retention.services.hold_release import hold_refusal, hold_release, hold_review


class _HoldView(ConfirmView):
    def find(self) -> LegalHold | None:
        holds = LegalHold.objects.select_related("placed_by", "released_by")
        return holds.filter(pk=self.kwargs["pk"]).first()

    def back(self) -> str:
        return reverse("admin:retention_legalhold_change", args=[self.kwargs["pk"]])

    def not_now(self) -> str:
        hold: LegalHold = self.object
        return "" if hold.active else f"The {hold} is released already."


class HoldReleaseView(_HoldView):
    """Another person, who proves it, and sees first what becomes due."""

    button = "Release the hold"
    variant = "danger"
    consequence = (
        "Nothing but other holds keeps these rows from then on: what is past its term goes with "
        "the next purge, and archives past theirs may be destroyed."
    )

    def has_permission(self) -> bool:
        return bool(self.request.user.has_perm("retention.release_legalhold"))

    def not_now(self) -> str:
        return super().not_now() or hold_refusal(self.object, self.person)

    def get_form_class(self) -> type[ReasonForm]:
        return SignedReasonForm

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs()
        return {**kwargs, "request": self.request}

    def act(self, reason: str) -> str:
        hold = hold_release(case_id=self.object.case_id, released_by=self.person, reason=reason)
        self.model_admin.log_change(self.request, hold, f"Released. Reason: {reason}")
        return f"The {hold} is released."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        hold: LegalHold = self.object
        self.title = f"Release the {hold}"
        return super().get_context_data(
            **kwargs,
            question=f"Release the {hold}?",
            facts_title="What follows",
            facts=[*hold_summary(hold), *_follows(release_preview(hold=hold, now=timezone.now()))],
            hidden={},
        )


class HoldReviewView(_HoldView):
    form_class = ReviewForm
    button = "It stays"
    consequence = "The hold stays as it is, and a reminder comes on that day."

    def has_permission(self) -> bool:
        return bool(self.request.user.has_perm("retention.place_legalhold"))

    def form_valid(self, form: forms.Form) -> HttpResponse:
        self.next_on = form.cleaned_data["next_on"]
        return super().form_valid(form)

    def act(self, reason: str) -> str:
        hold = hold_review(
            case_id=self.object.case_id,
            reviewed_by=self.person,
            next_on=self.next_on,
            reason=reason,
        )
        self.model_admin.log_change(self.request, hold, f"Reviewed; it stays. Reason: {reason}")
        return f"The {hold} stays. Next review: {hold.review_on:%-d %b %Y}."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        hold: LegalHold = self.object
        self.title = f"Review the {hold}"
        return super().get_context_data(
            **kwargs,
            question=f"Is the {hold} still needed?",
            facts_title="The hold",
            facts=hold_summary(hold),
            hidden={},
        )


def _follows(release: Release) -> list[Fact]:
    due = [
        Fact(
            f"Due by {each.policy.name}",
            f"{each.rows} rows of {each.policy.table}",
            "past their term, and kept by this hold alone",
        )
        for each in release.due
    ] or [Fact("Becomes due", "nothing: no policy has rows that only this hold keeps")]
    if release.archives:
        names = [
            link(archive.name, "retention_archive_change", archive.pk)
            for archive in release.archives
        ]
        due.append(Fact("Archives that may expire", joined(names), "past their term"))
    return due
