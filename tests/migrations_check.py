"""`makemigrations --check` on a server that needs no set-up: run by `make test`."""

from __future__ import annotations

import os
import sys

import tests.environment


def main() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("makemigrations", "--check", "--dry-run")
    return 0


if __name__ == "__main__":
    assert tests.environment
    sys.exit(main())
