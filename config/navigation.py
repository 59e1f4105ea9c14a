"""The sidebar: pages by what people do with them. Each person sees only what they may open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from operations.models import Alert, Run
from operations.runs.states import RunState


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """In the shape of unfold's `SIDEBAR["navigation"]`."""
    return [
        {
            "items": [
                {
                    "title": "Overview",
                    "icon": "dashboard",
                    "link": reverse("admin:index"),
                }
            ]
        },
        {
            "title": "Audit",
            "items": [
                _item("Audit log", "history", "auditing_changestatement"),
                _item("Audited tables", "table_view", "auditing_trackedtable"),
                _item("Seals", "verified_user", "auditing_sealblock"),
                {
                    "title": "Find a record",
                    "icon": "manage_search",
                    "link": reverse("admin:auditing_trackedtable_find"),
                    "permission": _may_view("auditing", "trackedtable"),
                },
            ],
        },
        {
            "title": "Retention",
            "items": [
                _item("Policies", "policy", "retention_retentionpolicy"),
                _item("Legal holds", "gavel", "retention_legalhold"),
                _item("Bin", "restore_from_trash", "retention_deletion"),
                _item("Archives", "inventory_2", "retention_archive"),
                _item("Certificates", "workspace_premium", "operations_certificate"),
            ],
        },
        {
            "title": "Operations",
            "items": [
                _item("Runs", "play_circle", "operations_run", badge=_runs_waiting(request)),
                _item("Schedules", "schedule", "django_celery_beat_periodictask"),
                _item("Alerts", "notifications", "operations_alert", badge=_alerts_open(request)),
            ],
        },
        {
            "title": "People",
            "items": [
                _item("Users", "person", "auth_user"),
                _item("Groups", "group", "auth_group"),
            ],
        },
    ]


def _item(title: str, icon: str, model: str, *, badge: int = 0) -> dict[str, Any]:
    app, _, name = model.rpartition("_")
    item: dict[str, Any] = {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{model}_changelist"),
        "permission": _may_view(app, name),
    }
    if badge:
        # The number itself: unfold shows a badge that a callback leaves empty as "None".
        item["badge"] = str(badge)
        item["badge_variant"] = "warning" if name == "run" else "danger"
    return item


def _may_view(app: str, name: str) -> Callable[[HttpRequest], bool]:
    # Who may only change it may see it too: that is Django's rule for the admin.
    return lambda request: any(
        request.user.has_perm(f"{app}.{verb}_{name}") for verb in ("view", "change")
    )


def _runs_waiting(request: HttpRequest) -> int:
    """How many runs wait for somebody's approval."""
    if not request.user.has_perm("operations.view_run"):
        return 0
    return Run.objects.filter(state=RunState.AWAITING_APPROVAL).count()


def _alerts_open(request: HttpRequest) -> int:
    if not request.user.has_perm("operations.view_alert"):
        return 0
    return Alert.objects.filter(resolved_at__isnull=True).count()
