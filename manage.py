#!/usr/bin/env python
"""Runs the console's commands; starts the embedded database when no other one is named."""

import gc
import os
import sys


def main() -> int:
    # What is loaded stays. The collector is turned on again when all is there (config/apps.py).
    gc.disable()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config.start import run_command_line

    return run_command_line(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
