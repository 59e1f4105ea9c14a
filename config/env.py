"""The one place that reads the environment. Every variable is documented in `.env.example`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(os.environ.get("CUSTODY_ENV_FILE", BASE_DIR / ".env"))

PRODUCTION: bool = env.bool("CUSTODY_PRODUCTION", default=False)
VAR = Path(env.str("CUSTODY_VAR", default=str(BASE_DIR / "var"))).expanduser().absolute()


def secret(name: str) -> str:
    """The secret `name` from the environment.

    Outside production a missing one is generated once and kept, readable by its owner only,
    under `VAR/secrets`.

    Raises:
        ImproperlyConfigured: in production, when the variable is not set.
    """
    value: str = env.str(name, default="")
    if value:
        return value
    if PRODUCTION:
        raise ImproperlyConfigured(
            f"{name} is not set. In production every secret is given by you: "
            f"see .env.example, then set {name}."
        )
    return _generated_secret(VAR / "secrets" / name.lower())


def _generated_secret(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            # link() fails when another process was first: then its secret is the one.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
