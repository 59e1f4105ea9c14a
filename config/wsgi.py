"""The console as a WSGI application, for gunicorn and its like."""

import os
from importlib import import_module

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config.start import hold_embedded

hold_embedded()
application = get_wsgi_application()
# Whoever asks first need not wait for the pages to be loaded.
import_module("config.urls")
