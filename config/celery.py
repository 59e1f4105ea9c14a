"""The Celery application: `celery -A config.celery worker`, `celery -A config.celery beat`."""

from __future__ import annotations

import gc
import os

# Until all is loaded (config/apps.py).
gc.disable()

from celery import Celery  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config import celery_processes  # noqa: E402

app = Celery("custody")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Threads of the web server look for the default one.
app.set_default()


__all__ = ["app", "celery_processes"]
