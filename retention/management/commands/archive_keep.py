"""manage.py archive_keep ARCHIVE --until DATE"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError
from retention.presenting import archive_json
from retention.selectors.archives import archive_get
from retention.services.archive_keep import archive_keep, archive_kept_longer


class Command(CustodyCommand):
    help = (
        "Lengthens the term of an archive, and of those of the rows that went along with its own. "
        "A term is never shortened."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("archive", metavar="ARCHIVE", help="its name, or how that begins")
        parser.add_argument(
            "--until", required=True, metavar="DATE", help="kept to the end of this day; or ever"
        )

    def work(self, **options: Any) -> Result:
        archive = archive_get(options["archive"])
        until = _moment(options["until"])
        if options["dry_run"]:
            longer = archive_kept_longer(archive=archive, until=until)
        else:
            longer = archive_keep(
                archive=archive,
                until=until,
                actor=self.actor(options),
                reason=options["reason"],
            )
        archive.refresh_from_db()
        document: dict[str, Any] = {
            "archive": archive_json(archive),
            "archives": [archive_json(each) for each in longer],
        }
        kept = f"until the end of {options['until']}" if until else "for ever"
        if options["dry_run"]:
            document["dry_run"] = True
            text = [f"{each.name} would be kept {kept}." for each in longer]
            return Result(document, [*text, "Nothing was changed."])
        return Result(document, [f"{each.name} is kept {kept}." for each in longer])


def _moment(text: str) -> datetime | None:
    """The end of the day, in the console's time zone; None for ever."""
    if text == "ever":
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until is a date such as 2031-12-31, or ever; not {text!r}.") from None
    return datetime.combine(day, time.max, timezone.get_default_timezone())
