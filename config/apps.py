"""The console itself as an application: its commands, its admin site, its start."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AppConfig):
    name = "config"
    label = "console"
    verbose_name = "Console"


class ConsoleAdminConfig(AdminConfig):
    default_site = "config.admin_site.ConsoleAdminSite"

    def ready(self, *args: Any, **kwargs: Any) -> None:
        super().ready(*args, **kwargs)
