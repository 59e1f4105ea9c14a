"""manage.py audit_console"""

from __future__ import annotations

from typing import Any

from auditing.presenting import tracked_json
from auditing.services.own_tables import own_tables_missing, own_tables_track
from operations.commands import CustodyCommand, Result
from operations.dispatch import wake
from operations.runs.present import run_json


class Command(CustodyCommand):
    help = (
        "Audits the console's own tables: policies, holds, runs, users and all else that somebody "
        "decides. `serve` does it at each start, and the watch a few minutes after a migrate. "
        "Tables whose audit was ended begin again."
    )
    changes = True

    def work(self, **options: Any) -> Result:
        if options["dry_run"]:
            names = [str(name) for name in own_tables_missing(again=True)]
            said = f"Would audit: {', '.join(names)}." if names else "All are audited."
            return Result({"dry_run": True, "tables": names}, [said, "Nothing was changed."])
        done = own_tables_track(actor=self.actor(options), again=True)
        for run in done.runs:
            wake(run.pk)
        document = {
            "tracked": [tracked_json(each) for each in done.tracked],
            "left": done.left,
            "runs": [run_json(run) for run in done.runs],
        }
        text = [f"{each} is audited." for each in done.tracked]
        text += [f"Run {run.pk} takes the images of {run.subject}." for run in done.runs]
        if done.left:
            return Result(document, [*text], 1, " ".join(done.left))
        return Result(document, [*(text or ["All are audited already."])])
