"""Who changes something through the console, from where and why."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError

from auditing.client_address import client_address
from operations.acting import Acting, acting_as, console_actor, person_fields

IMPERSONATOR_KEY = "custody_impersonator"
"""In the session: the name of the console user who acts as the one signed in. An attribute
`impersonator` of the request, a user or a name, goes before it."""
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_MOST_AGENT = 1_000


class ChangeContextMiddleware:
    """Each change in a request has its user, address, agent and number, and the form's reason.

    Stands behind Django's own authentication. Nothing is looked up before the first change: a
    request that only reads costs nothing.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        number = request_id(request)
        with acting_as(_RequestLayer(request, number)):
            response = self.get_response(request)
        response["X-Request-ID"] = number
        return response


def request_id(request: HttpRequest) -> str:
    """The number that a proxy gave the request, if it is one; else a new one."""
    given = request.headers.get("X-Request-ID", "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


class _RequestLayer:
    def __init__(self, request: HttpRequest, number: str) -> None:
        self._request, self._number = request, number
        self._asking = False

    def __call__(self, outside: Acting) -> Acting:
        if self._asking:
            # Finding out who it is writes: a session that is not valid any more is deleted.
            return outside
        self._asking = True
        try:
            return replace(
                outside,
                **self._who(),
                reason=self._reason(),
                ip_address=client_address(
                    self._request.META,
                    settings.CUSTODY_TRUSTED_PROXIES,
                    by_socket=settings.CUSTODY_TRUSTED_SOCKET,
                ),
                user_agent=self._request.headers.get("User-Agent", "")[:_MOST_AGENT],
                request_id=self._number,
            )
        finally:
            self._asking = False

    def _who(self) -> dict[str, Any]:
        user = getattr(self._request, "user", None)
        if not isinstance(user, User):
            return {}
        return {**person_fields(user), "impersonator": self._impersonator()}

    def _impersonator(self) -> str:
        found: Any = getattr(self._request, "impersonator", None)
        if not found and hasattr(self._request, "session"):
            found = self._request.session.get(IMPERSONATOR_KEY)
        if not found:
            return ""
        name = found.get_username() if hasattr(found, "get_username") else str(found)
        return console_actor(name)

    def _reason(self) -> str:
        """Every form of the console that asks for a reason calls it so."""
        if self._request.method != "POST":
            return ""
        try:
            return str(self._request.POST.get("reason", "")).strip()
        except (RawPostDataException, UnreadablePostError):
            return ""
