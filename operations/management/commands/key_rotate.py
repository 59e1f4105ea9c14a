"""manage.py key_rotate [--compromised KEY --since TIME]"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from operations.commands import CustodyCommand, Result
from operations.exceptions import UsageError
from operations.key_commands import key_json, printed
from operations.selectors.keys import key_get, keys_standing
from operations.services.key_rotate import Rotated, key_compromised, key_rotate


class Command(CustodyCommand):
    help = (
        "Makes a new signing key, for which the old one vouches before its private half is "
        "destroyed; what it signed stays verifiable. --compromised says that a key leaked."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--compromised", metavar="KEY", help="this key leaked: its id, as key_list shows it"
        )
        parser.add_argument(
            "--since", metavar="TIME", help="what it signed since then is not believed any more"
        )

    def work(self, **options: Any) -> Result:
        self.actor(options)
        reason, dry_run = options["reason"], options["dry_run"]
        if bool(options["compromised"]) != bool(options["since"]):
            raise UsageError("--compromised KEY and --since TIME go together.")
        if options["compromised"]:
            if not reason:
                raise UsageError("Say how it leaked, for whoever verifies later: --reason TEXT.")
            key, since = key_get(options["compromised"]), _moment(options["since"])
            done = key_compromised(key=key, since=since, reason=reason, dry_run=dry_run)
        else:
            done = key_rotate(reason=reason, dry_run=dry_run)
        return _result(done, dry_run)


def _result(done: Rotated, dry_run: bool) -> Result:
    standing = {each.key.key_id: each for each in keys_standing()}
    document = {
        "key": key_json(standing[done.new.key_id]) if done.new else None,
        "made": done.made,
        "ended": [key_json(standing[key.key_id]) for key in done.old],
        "destroyed": [str(path) for path in done.destroyed],
        "dry_run": dry_run,
    }
    if dry_run:
        return Result(document, _would(done))
    assert done.new is not None
    text: list[Any] = [_ended(standing[key.key_id].state, key.key_id) for key in done.old]
    text += [f"Destroyed: {path}. Destroy the copies of it too." for path in done.destroyed]
    if done.made:
        found = standing[done.new.key_id]
        text += [
            f"{done.new.key_id} signs from now on: {found.file}",
            "Keep a copy of this file in a safe place. Print the fingerprint and publish it:",
            f"  {printed(found.fingerprint)}",
        ]
    return Result(document, text)


def _would(done: Rotated) -> list[Any]:
    text: list[Any] = [f"The key {key.key_id} would end." for key in done.old]
    text += [f"{path} would be destroyed." for path in done.destroyed]
    text += ["A new key would sign from now on."] if done.made else []
    return [*text, "Nothing was changed."]


def _ended(state: str, key_id: str) -> str:
    told = {
        "retired": "is retired, and vouches for the new one",
        "lost": "is retired as lost: it cannot vouch for the new one, so tell those who know it",
        "compromised": "counts as leaked: what it signed since then is not believed, unless an "
        "anchor that is older covers it",
    }
    return f"{key_id} {told[state]}. What it signed before can still be verified."


def _moment(text: str) -> datetime:
    """A time as people write it; without an offset in the console's time zone."""
    try:
        found = parse_datetime(text)
        if found is None and (day := parse_date(text)) is not None:
            found = datetime(day.year, day.month, day.day)  # noqa: DTZ001
    except ValueError:
        found = None
    if found is None:
        raise UsageError(f"--since {text!r}: write 2026-11-25 or 2026-11-25 14:02:00.")
    return found if timezone.is_aware(found) else timezone.make_aware(found)
