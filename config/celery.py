"""The Celery application: `celery -A config.celery worker`, `celery -A config.celery beat`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config import celery_processes

app = Celery("custody")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Threads of the web server look for the default one.
app.set_default()


@app.on_after_finalize.connect
def make_schedule_folder(**_: Any) -> None:
    """Beat opens its file before it gives any sign of its own."""
    Path(app.conf.beat_schedule_filename).parent.mkdir(parents=True, exist_ok=True)


__all__ = ["app", "celery_processes"]
