"""What each of the four roles may do, kept as the apps declare it.

An app says it in its AppConfig, by codename (`view_*` covers all that begin so), with the app's
label in front for what another app owns:

    role_permissions = {"officer": ["view_run", "approve_run"], "auditor": ["view_*"]}

After every migrate the groups get exactly this of the apps that declare something. Permissions of
other apps are added and never taken away, so whoever wants more of those gives it by hand; whoever
wants more of Custody's makes a group of their own.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from django.apps import AppConfig, apps
from django.db import router

ROLES = {
    "officer": "Compliance officer",
    "support": "Support",
    "operator": "Operator",
    "auditor": "Auditor",
}
"""The name of the group, and the role in words."""


def declared(role: str, app_label: str) -> list[str]:
    """Patterns of codenames in the app `app_label` that `role` may use."""
    found = []
    for config in apps.get_app_configs():
        for entry in getattr(config, "role_permissions", {}).get(role, ()):
            label, _, codename = entry.rpartition(".")
            if (label or config.label) == app_label:
                found.append(codename)
    return found


def roles_sync(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Receiver of `post_migrate`: gives the roles what is declared of the app that was migrated.

    Runs after Django made the app's permissions, since `auth` is ready before any app of ours.
    """
    # The models as they are after this migration: a partial one may have no groups yet.
    models = kwargs.get("apps", apps)
    try:
        group_model = models.get_model("auth", "Group")
        permission_model = models.get_model("auth", "Permission")
    except LookupError:
        return
    if not router.allow_migrate_model(using, group_model):
        return
    of_app = list(
        permission_model.objects.using(using).filter(content_type__app_label=sender.label)
    )
    ours = hasattr(sender, "role_permissions")
    for role in ROLES:
        patterns = declared(role, sender.label)
        if not patterns and not ours:
            continue
        group, _ = group_model.objects.using(using).get_or_create(name=role)
        wanted = {p.pk for p in of_app if any(fnmatchcase(p.codename, x) for x in patterns)}
        held = set(
            group.permissions.filter(content_type__app_label=sender.label).values_list(
                "pk", flat=True
            )
        )
        group.permissions.add(*(wanted - held))
        if ours:
            group.permissions.remove(*(held - wanted))
