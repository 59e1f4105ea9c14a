"""Addresses without their passwords."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from kombu.utils.url import maybe_sanitize_url
from psycopg.conninfo import conninfo_to_dict

MASK = "***"
_SHORTEST = 4
"""A shorter secret would also mask words that are none."""


def database_shown() -> str:
    """`postgresql://user:***@host:port/name`, whatever form DATABASE_URL has."""
    parts = conninfo_to_dict(settings.DATABASE_URL)
    user = str(parts.get("user") or "")
    password = f":{MASK}" if parts.get("password") else ""
    at = "@" if user or password else ""
    host, port = str(parts.get("host") or ""), parts.get("port")
    if host.startswith("/"):
        return f"postgresql://{user}{password}{at}/{parts.get('dbname')}?host={host}&port={port}"
    place = f"{host}:{port}" if port else host
    return f"postgresql://{user}{password}{at}{place}/{parts.get('dbname')}"


def broker_shown() -> str:
    return ";".join(
        str(maybe_sanitize_url(url, mask=MASK)) for url in settings.CELERY_BROKER_URL.split(";")
    )


def scrubbed(text: str) -> str:
    """`text` on one line, and no password of ours in it."""
    text = " ".join(text.split())
    for secret in _secrets():
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return text


def _secrets() -> Iterable[str]:
    passwords = [str(conninfo_to_dict(settings.DATABASE_URL).get("password") or "")]
    urls = settings.CELERY_BROKER_URL.split(";")
    passwords += [unquote(urlsplit(url).password or "") for url in urls]
    for password in passwords:
        yield from {password, quote(password, safe=""), quote(password)}
