"""The console itself as an application: its commands, its admin site, its start."""

from __future__ import annotations

import gc
from typing import ClassVar

from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig


class ConsoleConfig(AppConfig):
    name = "config"
    label = "console"
    verbose_name = "Console"
    # No role changes people: who can do that can give themselves every right.
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "auditor": ["auth.view_user", "auth.view_group", "admin.view_logentry"],
    }

    def ready(self) -> None:
        # Calls to workers are sent through the application that is loaded.
        from config import celery  # noqa: F401

        # From here on the collector looks at what is made anew only.
        gc.freeze()
        gc.enable()


class ConsoleAdminConfig(SimpleAdminConfig):
    """Its pages are loaded with the addresses (config/urls.py): commands and workers need none."""

    default_site = "config.admin_site.ConsoleAdminSite"
