"""Who acts. Every act has a console user; a command without one acts as a system user."""

from __future__ import annotations

import getpass

from django.contrib.auth.models import User

from operations.exceptions import UsageError


def actor_get(*, name: str | None = None) -> User:
    """The active console user `name`; without a name, the system user of this login.

    A system user cannot sign in. Raises UsageError when there is no such user.
    """
    if name:
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            raise UsageError(f"There is no active console user named {name!r}.")
        return user
    return system_user(login_name())


def system_user(name: str) -> User:
    """The user `name`, made without a password when there is none."""
    user, made = User.objects.get_or_create(
        username=name, defaults={"first_name": "System", "last_name": name}
    )
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user often has a number and no name.
        return "operator-login"
