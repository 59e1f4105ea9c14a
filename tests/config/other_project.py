"""The settings and commands of another Django project, whose tables are in `public`.

Run as a program: `python other_project.py migrate`, with DATABASE_NAME, _HOST, _PORT and _USER set.
"""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.admin",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["DATABASE_NAME"],
            "HOST": os.environ["DATABASE_HOST"],
            "PORT": os.environ["DATABASE_PORT"],
            "USER": os.environ["DATABASE_USER"],
        }
    },
    SECRET_KEY="of the other project",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    TEMPLATES=[],
    SILENCED_SYSTEM_CHECKS=["admin.E403", "admin.E408", "admin.E409", "admin.E410"],
)
django.setup()


def people() -> None:
    from django.contrib.auth.models import Group, Permission, User

    officers = Group.objects.create(name="officer")
    officers.permissions.add(*Permission.objects.all()[:5])
    for name in ("operator", "scheduler", "zoë"):
        user = User.objects.create_user(name, f"{name}@example.org", "their own password")
        user.groups.add(officers)


if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    people()
    sys.exit(0)
