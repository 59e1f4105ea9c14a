"""The views of a run besides its page: its progress, and the decisions about it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.generic import View

from operations.admin.confirm import ConfirmView, ReasonForm, SignedReasonForm
from operations.admin.run_decisions import DECISIONS, Decision, is_open
from operations.admin.run_page import run_progress
from operations.admin.run_presenting import presenter
from operations.dispatch import wake
from operations.models import Run
from operations.runs.exceptions import ApprovalRefused
from operations.runs.kinds import run_kinds
from operations.runs.states import RunState


class RunProgressView(View):
    """JSON for the page that watches a run."""

    http_method_names = ("get", "head", "options")
    model_admin: Any = None

    def get(self, request: HttpRequest, run_id: int, **kwargs: Any) -> HttpResponse:
        if not self.model_admin.has_view_permission(request):
            raise PermissionDenied
        run = self.model_admin.get_queryset(request).filter(pk=run_id).first()
        if run is None:
            raise Http404(f"There is no run {run_id}.")
        return JsonResponse(run_progress(run, request.user))


class RunDecisionView(ConfirmView):
    """Pause, resume, cancel, approve or refuse one run."""

    @property
    def decision(self) -> Decision:
        return DECISIONS[self.kwargs["decision"]]

    def has_permission(self) -> bool:
        if self.kwargs["decision"] not in DECISIONS:
            raise Http404
        return self.model_admin.has_view_permission(self.request) and (
            self.request.user.has_perm(self.decision.permission)
        )

    def find(self) -> Run | None:
        runs: QuerySet[Run] = self.model_admin.get_queryset(self.request)
        return runs.filter(pk=self.kwargs["run_id"]).first()

    def not_now(self) -> str:
        run: Run = self.object
        if run.current not in self.decision.states:
            return (
                f"{run} is {run.current.label.lower()}: "
                f"there is nothing to {self.decision.name} now."
            )
        if self.decision.asks_password and run.requester_id == self.person.pk:
            return f"You asked for {run}, so another person has to approve or refuse it."
        if not is_open(self.decision, run, self.person):
            return f"{run} is being cancelled already."
        return ""

    def act(self, reason: str) -> str:
        run: Run = self.object
        shown = self.request.POST.get("plan_hash")
        if self.decision.asks_password and shown != run.plan_hash:
            raise ApprovalRefused("The plan is not the one that was shown: look at it again.")
        confirm = self.request.POST.get("confirm", "")
        after = self.decision.act(run.pk, self.person, reason, confirm)
        self.model_admin.log_change(self.request, after, f"{self.decision.title}. Reason: {reason}")
        if self.decision.wakes and after.current is RunState.QUEUED:
            wake(run.pk)
        return f"{after}: {after.current.label.lower()}. {after.error}".strip()

    def typed(self) -> str:
        kind = run_kinds().get(self.object.kind)
        if kind is None or self.decision.name != "approve":
            return ""
        return kind.confirm_text(self.object.plan)

    def _consequence(self) -> str:
        kind = run_kinds().get(self.object.kind)
        if self.decision.name == "approve" and kind is not None and kind.immediate:
            return "What this plan says is in force at once, with your name to it."
        return self.decision.consequence

    def back(self) -> str:
        return reverse("admin:operations_run_change", args=[self.kwargs["run_id"]])

    def get_form_class(self) -> type[ReasonForm]:
        return SignedReasonForm if self.decision.asks_password else ReasonForm

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs()
        if self.decision.asks_password:
            kwargs["request"] = self.request
        return kwargs

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        run: Run = self.object
        decision = self.decision
        self.title = f"{decision.title} {run}"
        self.button, self.variant = f"{decision.title} the run", decision.variant
        self.consequence = self._consequence()
        return super().get_context_data(
            **kwargs,
            question=f"{decision.title} this run?",
            facts_title="The plan that is decided on" if decision.asks_password else "The run",
            facts=presenter(run).plan(run),
            warnings=presenter(run).warnings(run) if decision.asks_password else [],
            details=presenter(run).details(run) if decision.asks_password else "",
            why=run.approval_reason if decision.asks_password else "",
            hidden={"plan_hash": run.plan_hash} if decision.asks_password else {},
        )
