"""manage.py cleanup_expired_data: the classic answer, a table and a count a line."""

from __future__ import annotations

from typing import Any

from operations.commands import CustodyCommand, Result, text_table
from operations.exceptions import CustodyError
from retention.models import RetentionPolicy
from retention.purge_answers import answers_problem
from retention.selectors.policies import policies_runnable
from retention.services.purge_start import PurgeAnswer, purge_preview, purge_run


class Command(CustodyCommand):
    help = (
        "Purges by every enabled policy, like purge_run, and answers with table_name and "
        "deleted_count for each table that rows were deleted from."
    )
    changes = True

    def work(self, **options: Any) -> Result:
        policies = policies_runnable()
        if options["dry_run"]:
            return _result([(policy, *_due(policy)) for policy in policies], dry_run=True)
        actor = self.actor(options)
        with self.run_progress(options, "purge") as bar:
            answers = [
                purge_run(policy=policy, requester=actor, reason=options["reason"], on_progress=bar)
                for policy in policies
            ]
        return _result([(each.policy, each.deleted, each) for each in answers], dry_run=False)


def _due(policy: RetentionPolicy) -> tuple[int, PurgeAnswer]:
    try:
        total = purge_preview(policy=policy).total or 0
    except CustodyError as error:
        return 0, PurgeAnswer(policy, None, str(error))
    return total, PurgeAnswer(policy, None)


def _result(found: list[tuple[RetentionPolicy, int, PurgeAnswer]], *, dry_run: bool) -> Result:
    counts = [(str(policy.table), count) for policy, count, _ in found if count]
    document: dict[str, Any] = {
        "tables": [{"table_name": name, "deleted_count": count} for name, count in counts]
    }
    text: list[Any] = [
        text_table(
            "table_name",
            "deleted_count",
            rows=[[name, str(count)] for name, count in counts],
            right=frozenset({1}),
        )
        if counts
        else "Nothing was due."
    ]
    if dry_run:
        document["dry_run"] = True
        text.append("Nothing was changed.")
    return answers_problem(document, text, [answer for _, _, answer in found])
