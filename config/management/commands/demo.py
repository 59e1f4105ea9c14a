"""manage.py demo: everything once, on a sample shop."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandParser
from django.db import connection

from auditing.services.own_tables import own_tables_track
from config.demo.audited import audit_begin, audit_day
from config.demo.night import Night, night_work
from config.demo.sign_ins import SignIn, sign_ins_make
from config.start import hold_embedded
from config.supervisor import port_check
from operations.commands import CustodyCommand, Result, text_table


class Command(CustodyCommand):
    help = (
        "Sets the console up, loads the sample storefront, does a night's work on it, says what "
        "was done, and serves the console. A second time it keeps its data."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--scale", type=float, default=1, help="of the storefront")
        parser.add_argument("--no-serve", action="store_true", help="stop after the report")

    def work(self, **options: Any) -> Result:
        if not options["no_serve"]:
            # Said before the work, not after it.
            port_check("127.0.0.1", options["port"])
        hold_embedded()
        began = time.monotonic()
        self._say(options, "Setting up the database ...")
        call_command("migrate", verbosity=0, interactive=False)
        # From the first person on: who may do what is decided there.
        own_tables_track(actor=self.actor(options))
        people = sign_ins_make()
        self._storefront(options)
        self._audit(options)
        self._say(options, "The night's work:")
        with self.run_progress(options, "purge") as bar:
            night = night_work(actor=User.objects.get(username="operator"), on_progress=bar)
        text = _report(night, people, time.monotonic() - began)
        if options["no_serve"]:
            return Result(_document(night), text, night.exit_code, night.problem)
        self._tell(Result(_document(night), text), options)
        call_command("serve", port=options["port"])
        return Result({}, [])

    def _storefront(self, options: dict[str, Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.to_regnamespace('shop') IS NOT NULL")
            if cursor.fetchone()[0]:
                return
        self._say(options, "Filling the sample storefront, two years of a shop ...")
        call_command("sample_load", scale=options["scale"], stdout=self.stderr)

    def _audit(self, options: dict[str, Any]) -> None:
        self._say(options, "Auditing some of its tables, and changing a few rows ...")
        with self.run_progress(options, "audit") as bar:
            audit_begin(on_progress=bar)
        audit_day()

    def _say(self, options: dict[str, Any], line: str) -> None:
        if not options["json"]:
            self.stdout.write(line)
            self.stdout.flush()


def _document(night: Night) -> dict[str, Any]:
    return {
        "runs": night.runs,
        "archives": night.archives,
        "certificates": night.certificates,
        "problems": night.problems,
    }


def _report(night: Night, people: list[SignIn], seconds: float) -> list[Any]:
    lines: list[Any] = [
        "",
        text_table(
            "policy",
            "table",
            "kept for",
            "approved by",
            "rows before",
            "removed",
            "what became of them",
            rows=night.table,
            right=frozenset({4, 5}),
        ),
        "",
        *night.sentences,
        f"All of it took {seconds:.0f} s.",
        "",
        "Sign-ins of this demonstration:",
        text_table("name", "role", "password", rows=[[p.name, p.role, p.password] for p in people]),
    ]
    return lines
