"""manage.py serve"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from auditing.services.own_tables import own_tables_missing, own_tables_track
from config.serving.commands import children
from config.serving.ports import listen
from config.start import hold_embedded
from config.supervisor import Supervisor
from operations.commands import CustodyCommand, Result
from operations.exceptions import CustodyError


class Command(CustodyCommand):
    help = (
        "Serves the console: web server, workers and beat, and the embedded PostgreSQL and broker "
        "where they are used. One Ctrl-C stops all of them."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS")
        parser.add_argument(
            "--workers", type=int, default=2, metavar="N", help="runs worked on at the same time"
        )

    def work(self, **options: Any) -> Result:
        listening = listen(options["bind"], options["port"])
        with listening:
            hold_embedded()
            _refuse_unmigrated()
            self._audit_own(options)
            # Only what is newer than the copy is copied.
            call_command("collectstatic", interactive=False, verbosity=0)
            self._say("Starting ...")
            Supervisor(
                children=children(listening, workers=max(options["workers"], 1)),
                servers=[
                    server
                    for server in (settings.EMBEDDED_POSTGRES, settings.EMBEDDED_BROKER)
                    if server is not None
                ],
                address=(options["bind"], listening.getsockname()[1]),
                say=self._say,
            ).run()
        self._say("Stopped.")
        return Result({"served": True})

    def _audit_own(self, options: dict[str, Any]) -> None:
        """The tables of a new version too. Whatever is in the way, the console is served."""
        try:
            if own_tables_missing():
                self._say("Auditing the console's own tables ...")
            done = own_tables_track(actor=self.actor(options))
        except (CustodyError, DatabaseError) as error:
            self._say(
                f"The console's own tables are not all audited: {' '.join(str(error).split())}"
            )
        else:
            for line in done.left:
                self._say(line)
        finally:
            connection.close()

    def _say(self, line: str) -> None:
        # The terminal may be gone; the console goes on.
        with suppress(OSError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


def _refuse_unmigrated() -> None:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    connection.close()
    if pending:
        raise CustodyError(
            f"The console's tables are {len(pending)} migrations behind: run manage.py migrate, "
            "then serve again."
        )
