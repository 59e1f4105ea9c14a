#!/usr/bin/env python
"""Runs the console's commands; starts the embedded database when no other one is named."""

import os
import sys


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config.start import run_command_line

    return run_command_line(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
