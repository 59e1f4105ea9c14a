"""A change of state: shown first, confirmed with a reason by POST, told in words afterwards."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.views.generic import FormView
from unfold.views import UnfoldModelAdminViewMixin
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from operations.exceptions import CustodyError


def typed_field(text: str) -> forms.CharField:
    """A field that is right only when the person typed `text`: asked where one must look twice."""

    def judge(given: str) -> None:
        if given.strip() != text:
            raise forms.ValidationError(f"Type {text}, as it is written here. Nothing was done.")

    return forms.CharField(
        label="Type it to confirm",
        validators=[judge],
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off", "spellcheck": "false"}),
        help_text=f"Type {text} to say that you have read the warning.",
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="Kept in the log, with your name and the time.",
    )


class SignedReasonForm(ReasonForm):
    """The person proves once more who they are."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "current-password"}),
        help_text="Yours, as you sign in with it: the decision is yours and nobody else's.",
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_password(self) -> str:
        given: str = self.cleaned_data["password"]
        person = authenticate(
            self.request, username=self.request.user.get_username(), password=given
        )
        if person is None or person.pk != self.request.user.pk:
            raise forms.ValidationError("That is not your password. Nothing was decided.")
        return given


class ConfirmView(UnfoldModelAdminViewMixin, FormView):
    """GET shows what would happen; POST with a reason does it.

    Subclasses find their object in `find` (None: there is none), and act in `act`, which returns
    what to tell the person. A CustodyError becomes a message on the object's page.
    """

    form_class: type[forms.Form] = ReasonForm
    template_name = "custody/confirm.html"
    raise_exception = True
    title = ""
    button = ""
    variant = "primary"
    consequence = ""

    def find(self) -> Any:
        raise NotImplementedError

    def act(self, reason: str) -> str:
        raise NotImplementedError

    def not_now(self) -> str:
        """Why it cannot be done as things are; empty when it can. Asked before anything else."""
        return ""

    def typed(self) -> str:
        """What the person has to type as well; empty when a reason is enough."""
        return ""

    def back(self) -> str:
        """Where the person comes from and goes to."""
        raise NotImplementedError

    @property
    def person(self) -> User:
        if not isinstance(self.request.user, User):
            raise PermissionDenied
        return self.request.user

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.has_permission():
            raise PermissionDenied
        self.object = self.find()
        if self.object is None:
            return self._told(messages.ERROR, "There is no such object.", "admin:index")
        refusal = self._refusal()
        if refusal:
            return self._told(messages.ERROR, refusal, self.back())
        return super().dispatch(request, *args, **kwargs)

    def _refusal(self) -> str:
        try:
            return self.not_now()
        except CustodyError as error:
            return str(error)

    def get_form(self, form_class: type[forms.Form] | None = None) -> forms.Form:
        form: forms.Form = super().get_form(form_class)
        text = self.typed()
        if text:
            form.fields["confirm"] = typed_field(text)
        return form

    def form_valid(self, form: forms.Form) -> HttpResponse:
        try:
            told = self.act(form.cleaned_data["reason"])
        except CustodyError as error:
            return self._told(messages.ERROR, str(error), self.back())
        return self._told(messages.SUCCESS, told, self.back())

    def _told(self, level: int, text: str, to: str) -> HttpResponse:
        messages.add_message(self.request, level, text)
        return HttpResponseRedirect(resolve_url(to))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            **kwargs,
            opts=self.model_admin.opts,
            original=self.object,
            button=self.button,
            # What cannot be taken back is asked in red.
            solid="ends" if self.variant == "danger" else "primary",
            consequence=self.consequence,
            back=self.back(),
        )
