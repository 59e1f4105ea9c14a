"""The four roles. What each may do is declared by the apps and kept by `operations.roles`."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

ROLES = ("officer", "support", "operator", "auditor")


def make_roles(apps: Any, schema_editor: Any) -> None:
    groups = apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias)
    for name in ROLES:
        groups.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("operations", "0002_certificate_number"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations: ClassVar = [
        # Going back leaves the groups: people are in them.
        migrations.RunPython(make_roles, migrations.RunPython.noop),
    ]
