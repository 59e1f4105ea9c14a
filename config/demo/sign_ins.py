"""People of the demonstration: one for each role, and one who may do everything."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import Group, User

ROLES = ("officer", "support", "operator", "auditor")
ADMINISTRATOR = "admin"


@dataclass(frozen=True)
class SignIn:
    name: str
    role: str
    password: str


def sign_ins_make() -> list[SignIn]:
    """Makes the users, or finds them; their passwords are kept under CUSTODY_VAR for their owner.

    A password that somebody changed in the console stays changed and is not shown.
    """
    path = Path(settings.CUSTODY_VAR) / "secrets" / "sign-ins.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    made = [_sign_in(name, known) for name in (*ROLES, ADMINISTRATOR)]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(json.dumps(known))
    return made


def _sign_in(name: str, known: dict[str, str]) -> SignIn:
    administrator = name == ADMINISTRATOR
    user, made = User.objects.get_or_create(
        username=name, defaults={"is_staff": True, "is_superuser": administrator}
    )
    if made:
        known[name] = f"{name}-{secrets.token_urlsafe(9)}"
        user.set_password(known[name])
        user.save(update_fields=["password"])
        if not administrator:
            user.groups.add(Group.objects.get(name=name))
    password = known.get(name, "")
    shown = password if password and user.check_password(password) else "(as you set it)"
    return SignIn(name, "everything" if administrator else name, shown)
