"""What Custody itself needs to know: where files, keys and mails go, and how runs behave."""

from pathlib import Path

from config.env import VAR, env

CUSTODY_VAR = VAR
CUSTODY_STORAGE = Path(env.str("CUSTODY_STORAGE", default=str(VAR / "storage"))).absolute()
CUSTODY_KEYS = Path(env.str("CUSTODY_KEYS", default=str(VAR / "keys"))).absolute()
CUSTODY_ALERT_EMAILS: list[str] = env.list("CUSTODY_ALERT_EMAILS", default=[])
CUSTODY_ORGANISATION: str = env.str("CUSTODY_ORGANISATION", default="")
# How long a worker that gives no sign of life keeps its run.
CUSTODY_RUN_LEASE_SECONDS: int = env.int("CUSTODY_RUN_LEASE_SECONDS", default=30)
