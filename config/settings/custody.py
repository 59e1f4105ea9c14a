"""What Custody itself needs to know: where files, keys and mails go, and how runs behave."""

from ipaddress import ip_network
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from config.env import VAR, env

CUSTODY_VAR = VAR
_storage: str = env.str("CUSTODY_STORAGE", default=str(VAR / "storage"))
CUSTODY_STORAGE = _storage if _storage.startswith("s3://") else Path(_storage).absolute()
CUSTODY_OBJECT_LOCK: str = env.str("CUSTODY_OBJECT_LOCK", default="off").lower()
if CUSTODY_OBJECT_LOCK not in ("off", "governance", "compliance"):
    # Anything else must not pass for off.
    raise ImproperlyConfigured("CUSTODY_OBJECT_LOCK is compliance, governance or off.")
CUSTODY_ARCHIVE_RECIPIENTS: list[str] = env.list("CUSTODY_ARCHIVE_RECIPIENTS", default=[])
CUSTODY_ARCHIVE_IDENTITY: str = env.str("CUSTODY_ARCHIVE_IDENTITY", default="")
CUSTODY_KEYS = Path(env.str("CUSTODY_KEYS", default=str(VAR / "keys"))).absolute()
# Best on another machine's disk: nobody who has the database should be able to rewind it.
CUSTODY_ANCHORS = Path(env.str("CUSTODY_ANCHORS", default=str(VAR / "anchors"))).absolute()
CUSTODY_ALERT_EMAILS: list[str] = env.list("CUSTODY_ALERT_EMAILS", default=[])
CUSTODY_ORGANISATION: str = env.str("CUSTODY_ORGANISATION", default="")
# How long a worker that gives no sign of life keeps its run.
CUSTODY_RUN_LEASE_SECONDS: int = env.int("CUSTODY_RUN_LEASE_SECONDS", default=30)
# Whose X-Forwarded-For is believed.
_proxies: list[str] = [text.strip() for text in env.list("CUSTODY_TRUSTED_PROXIES", default=[])]
CUSTODY_TRUSTED_SOCKET = "unix" in _proxies
try:
    CUSTODY_TRUSTED_PROXIES = [
        ip_network(text, strict=False) for text in _proxies if text != "unix"
    ]
except ValueError as error:
    raise ImproperlyConfigured(
        f"CUSTODY_TRUSTED_PROXIES: {error}. Give addresses or networks, separated by commas: "
        "127.0.0.1,10.0.0.0/8. `unix` is a proxy that comes through a socket file."
    ) from None
