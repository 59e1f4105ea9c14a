"""The admin site of the console."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite

_NOT_YET = frozenset({"django_celery_beat"})
"""Applications whose pages come with pages of our own later."""


class ConsoleAdminSite(UnfoldAdminSite):
    site_title = "Custody"
    site_header = "Custody"
    index_title = "Overview"

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        return [
            app
            for app in super().get_app_list(request, app_label)
            if app["app_label"] not in _NOT_YET
        ]
