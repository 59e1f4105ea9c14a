"""What the form of a policy says so far: asked by custody/condition.js while one types."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.generic import View

from operations.admin.condition_field import said
from operations.catalogue.read import table as read_table
from operations.exceptions import CustodyError
from retention.admin.policy_edit import ProposingView
from retention.admin.policy_form import PolicyForm, table_of
from retention.admin.policy_words import sentence
from retention.models import RetentionPolicy

_TELLING = {"amount", "unit", "age_column", "keep", "archive_first", "archive_days", "soft_delete"}


class PolicySayView(ProposingView, View):
    """JSON: the form in a sentence, its condition in SQL, and what is wrong with which line."""

    http_method_names = ("post", "options")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            table = read_table(request.POST.get("table", ""))
        except CustodyError as error:
            return JsonResponse({"said": {"problem": str(error)}, "problems": {}})
        around = [table_of(value) for value in request.POST.getlist("dependents")]
        form = PolicyForm(request.POST, table=table, policy=None, around=around)
        sql, problem, problems = said(form["keep"].value(), table)
        return JsonResponse(
            {
                "said": {
                    "sql": sql or "nothing yet",
                    "problem": problem,
                    "sentence": in_a_sentence(form),
                },
                "problems": {f"{group}-{line}": text for (group, line), text in problems.items()},
            }
        )


def in_a_sentence(form: PolicyForm) -> str:
    """The policy as one would tell it, once its terms are right."""
    if _TELLING & form.errors.keys():
        return "The terms are not complete yet."
    return sentence(RetentionPolicy(**form.terms().to_json()))
