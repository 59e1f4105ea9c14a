"""What every process of the console does before Django: start what is embedded, speak plainly."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

# Commands that need no database: they must not start one.
_WITHOUT_DATABASE = {
    "help",
    "version",
    "--help",
    "-h",
    "--version",
    # These start it themselves: one says what stands in the way, the others look at a port first.
    "doctor",
    "demo",
    "serve",
    "makemessages",
    "compilemessages",
}


def hold_embedded() -> None:
    """Starts the embedded PostgreSQL, or joins the running one, when it is the one in use.

    Raises:
        EmbeddedError: when it cannot be started; its text says why and what to do.
    """
    from django.conf import settings

    if settings.EMBEDDED_POSTGRES is not None:
        settings.EMBEDDED_POSTGRES.hold()


def run_command_line(argv: list[str]) -> int:
    """Runs one `manage.py` command line; returns its exit code.

    A failure that a person can mend is one line on standard error, never a traceback.
    """
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import NotSupportedError, OperationalError

    from config.embedded import EmbeddedError
    from operations.exceptions import CustodyError

    signal.signal(signal.SIGTERM, _end)
    wanted = argv[1] if len(argv) > 1 else "help"
    asks_help = any(word in ("-h", "--help") for word in argv[2:])
    try:
        if wanted not in _WITHOUT_DATABASE and not asks_help:
            hold_embedded()
        execute_from_command_line(argv)
    except OperationalError as error:
        print(f"The database cannot be reached: {_one_line(error)}", file=sys.stderr)
        print("Check DATABASE_URL; `manage.py doctor` tells more.", file=sys.stderr)
        return 1
    except (EmbeddedError, ImproperlyConfigured, NotSupportedError, CustodyError) as error:
        if os.environ.get("CUSTODY_TRACEBACK"):
            raise
        print(_one_line(error), file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    """Ends as Ctrl-C does, so that what is embedded is left, and stopped by the last one."""
    raise SystemExit(128 + number)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
