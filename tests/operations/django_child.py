"""A process of its own with the console's settings, on the test's database, storage and keys."""

from __future__ import annotations

import os
import subprocess
import sys

from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

_SET_UP = """
import os, signal, sys
import django
django.setup()
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts `code`; it finds `arguments` in sys.argv[1:], and talks by its standard streams."""
    database = connection.settings_dict
    url = make_conninfo(
        "",
        dbname=database["NAME"],
        user=database["USER"] or None,
        password=database["PASSWORD"] or None,
        host=database["HOST"] or None,
        port=database["PORT"] or None,
    )
    return subprocess.Popen(
        [sys.executable, "-c", _SET_UP + code, *map(str, arguments)],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": url,
            "CUSTODY_STORAGE": str(settings.CUSTODY_STORAGE),
            "CUSTODY_KEYS": str(settings.CUSTODY_KEYS),
            "CUSTODY_ANCHORS": str(settings.CUSTODY_ANCHORS),
            "CUSTODY_ORGANISATION": settings.CUSTODY_ORGANISATION,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
