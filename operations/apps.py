from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig
from django.db.models.signals import post_migrate

_SEES_TIMES = "django_celery_beat.view_periodictask"


class OperationsConfig(AppConfig):
    name = "operations"
    verbose_name = "Operations"
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "officer": ["view_*", "approve_run", _SEES_TIMES],
        "support": ["view_run", "view_runevent"],
        "operator": [
            "view_*",
            "control_run",
            "approve_run",
            _SEES_TIMES,
            "django_celery_beat.change_periodictask",
        ],
        "auditor": ["view_*", _SEES_TIMES],
    }

    def ready(self) -> None:
        from operations import checks, connections, finding  # noqa: F401
        from operations.roles import roles_sync
        from operations.selectors.find_live import LiveRows
        from operations.services.schedules import schedules_seed

        finding.register("live", LiveRows())
        post_migrate.connect(roles_sync, dispatch_uid="operations.roles_sync")
        post_migrate.connect(
            lambda using, **_: schedules_seed(using=using),
            sender=self,
            weak=False,
            dispatch_uid="operations.schedules_seed",
        )
