"""manage.py hold_release CASE --user OTHER --reason TEXT"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from operations.commands import CustodyCommand, Result
from operations.run_commands import approver_asked
from retention.hold_commands import reason_given
from retention.hold_presenting import hold_json, release_json, release_lines, scope_words
from retention.selectors.hold_follows import release_preview
from retention.selectors.holds import hold_active
from retention.services.hold_release import hold_release


class Command(CustodyCommand):
    help = (
        "Releases a legal hold: another person than the one who placed it, proved by a password. "
        "With --dry-run it lists what becomes due."
    )
    changes = True

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("case", metavar="CASE")

    def work(self, **options: Any) -> Result:
        hold = hold_active(options["case"])
        follows = release_preview(hold=hold, now=timezone.now())
        lines = release_lines(follows)
        if options["dry_run"]:
            document = {"dry_run": True, "hold": hold_json(hold), **release_json(follows)}
            return Result(document, [*lines, "Nothing was changed."])
        covered = [scope_words(scope) for scope in hold.scopes.all()]
        shown = [f"The {hold} holds {'; '.join(covered)}.", f"  Reason: {hold.reason}", *lines]
        reason = reason_given(options)
        person = approver_asked(options, self.stderr, shown)
        released = hold_release(case_id=hold.case_id, released_by=person, reason=reason)
        return Result(
            {"hold": hold_json(released), **release_json(follows)},
            [f"The {released} is released.", *lines],
        )
