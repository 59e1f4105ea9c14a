"""manage.py roles_sql"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from config.roles.script import Names, script
from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError
from operations.selectors.schemas import database_name, schemas

LONGEST_NAME = 63
"""Bytes of a name in PostgreSQL; longer ones are cut, and may then be another role's."""


class Command(CustodyCommand):
    help = (
        "Prints the SQL that makes the roles of a console without superuser, with their grants on "
        "every schema there is now. Run it as a superuser: manage.py roles_sql | psql ..."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--console", default="custody", metavar="NAME")
        parser.add_argument(
            "--application", metavar="NAME", help="the role of the governed application, if any"
        )
        parser.add_argument("--auditor", default="custody_auditor", metavar="NAME")
        parser.add_argument("--backup", default="custody_backup", metavar="NAME")

    def work(self, **options: Any) -> Result:
        names = Names(
            console=options["console"],
            application=options["application"],
            auditor=options["auditor"],
            backup=options["backup"],
        )
        _refuse_bad(names)
        text = script(database=database_name(), schemas=schemas(), names=names)
        if not options["json"]:
            # As it is: what is laid out for people loses tabs and the like in names.
            self.stdout.write(text, ending="")
        return Result({"sql": text})


def _refuse_bad(names: Names) -> None:
    for name in names.all:
        if "\0" in name or name.startswith("pg_") or len(name.encode()) > LONGEST_NAME:
            raise UsageError(
                f"{name!r} cannot be the name of a role: at most {LONGEST_NAME} bytes, and not "
                "beginning with pg_."
            )
    if len(set(names.all)) < len(names.all):
        raise UsageError("Give each role a name of its own.")
