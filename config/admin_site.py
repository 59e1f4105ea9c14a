"""The admin site of the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.checks import CheckMessage
from unfold.sites import UnfoldAdminSite


class ConsoleAdminSite(UnfoldAdminSite):
    site_title = "Custody"
    site_header = "Custody"
    index_title = "Overview"

    def check(self, app_configs: Any) -> list[CheckMessage]:
        admin.autodiscover()
        found: list[CheckMessage] = super().check(app_configs)
        return found
