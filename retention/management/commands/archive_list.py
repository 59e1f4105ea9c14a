"""manage.py archive_list"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from operations.commands import CustodyCommand, Result, text_table
from retention.models import Archive
from retention.presenting import archive_json, bytes_text
from retention.selectors.archives import archive_list


class Command(CustodyCommand):
    help = "Shows the archives that purges wrote, newest first."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--policy", metavar="POLICY", help="only those of this policy")
        parser.add_argument("--table", metavar="TABLE", help="only those of this table")

    def work(self, **options: Any) -> Result:
        archives = archive_list(policy=options["policy"], table=options["table"])
        documents, rows = [], []
        for archive in archives.iterator():
            documents.append(archive_json(archive))
            rows.append(_row(archive))
        if not rows:
            return Result({"archives": []}, ["There are no archives here yet."])
        headers = ("archive", "policy", "table", "rows", "size", "written", "kept until", "")
        text = text_table(*headers, rows=rows, right=frozenset({3, 4}))
        return Result({"archives": documents}, [text])


def _row(archive: Archive) -> list[str]:
    document = archive_json(archive)
    until = f"{archive.expires_at:%Y-%m-%d}" if archive.expires_at else "for ever"
    if archive.destroyed_at is not None:
        until = f"{archive.destroyed_at:%Y-%m-%d}"
    elif archive.expires_at is not None and archive.expires_at <= timezone.now():
        until += ", over"
    is_open = archive.state == Archive.State.OPEN
    return [
        archive.name,
        archive.policy.name,
        document["table"],
        "" if is_open else f"{archive.rows:,}",
        "" if is_open else bytes_text(archive.bytes),
        f"{archive.completed_at or archive.created_at:%Y-%m-%d %H:%M}",
        "" if is_open else until,
        archive.State(archive.state).label.lower(),
    ]
