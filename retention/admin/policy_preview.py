"""The preview in the admin: a page that shows at once, and what takes seconds when it is there."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DataError, ProgrammingError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from operations.exceptions import CustodyError
from operations.models import Run
from retention.admin.policy_drafts import draft_find
from retention.admin.policy_words import sentence
from retention.admin.preview_page import preview_context
from retention.models import RetentionPolicy
from retention.selectors.policies import POLICY_CHANGE
from retention.services.policy_terms import PolicyTerms
from retention.services.purge_preview import policy_preview


class PolicyPreviewView(UnfoldModelAdminViewMixin, TemplateView):
    """What a purge by a policy would do now.

    Without a query only the frame; `?look=part` is what `preview.js` puts into it, `?look=page` all
    at once for a browser without scripts. Subclasses say whose terms in `find`.
    """

    template_name = "retention/preview_page.html"
    http_method_names = ("get", "head", "options")
    raise_exception = True
    title = "Preview"

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    def find(self) -> RetentionPolicy | None:
        """The terms, saved or not; None: there are none."""
        return RetentionPolicy.objects.filter(pk=self.kwargs["pk"]).first()

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.has_permission():
            raise PermissionDenied
        policy = self.find()
        if policy is None:
            raise Http404("There is no such policy.")
        self.policy = policy
        if request.GET.get("look") == "part":
            return HttpResponse(preview_html(policy))
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.title = f"Preview of {self.policy.name}"
        whole = self.request.GET.get("look") == "page"
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            original=self.policy if self.policy.pk is not None else None,
            policy=self.policy,
            sentence=sentence(self.policy),
            preview_url=self.request.path,
            shown=preview_html(self.policy) if whole else "",
        )


class ProposalPreviewView(PolicyPreviewView):
    """By the terms that a run waits to bring into force."""

    def find(self) -> RetentionPolicy | None:
        run = Run.objects.filter(kind=POLICY_CHANGE, pk=self.kwargs["run_id"]).first()
        if run is None or not self.request.user.has_perm("operations.view_run"):
            return None
        return _by(PolicyTerms.from_json(run.plan["new"]), database=run.database)


class DraftPreviewView(PolicyPreviewView):
    """By terms that the person has written and not proposed yet."""

    def find(self) -> RetentionPolicy | None:
        draft = draft_find(self.request, self.kwargs["token"])
        return _by(draft.terms) if draft is not None else None


def _by(terms: PolicyTerms, *, database: str = "default") -> RetentionPolicy:
    return RetentionPolicy(database=database, **terms.to_json())


def preview_html(policy: RetentionPolicy) -> str:
    """The preview as a piece of a page; where there can be none, why."""
    try:
        context = preview_context(policy_preview(policy=policy))
    except (CustodyError, ProgrammingError, DataError) as error:
        context = {"problem": " ".join(str(error).split())}
    return render_to_string("retention/preview.html", context)
