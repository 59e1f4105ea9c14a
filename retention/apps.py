from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "retention"
    verbose_name = "Retention"
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "officer": ["view_*"],
        "support": ["view_retentionpolicy", "view_archive", "view_archivepart"],
        "operator": ["view_*"],
        "auditor": ["view_*"],
    }

    def ready(self) -> None:
        # Registers the kinds of run.
        from retention.services import archive_restore, purge  # noqa: F401
