"""manage.py policy_check"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from operations.commands import CustodyCommand, Result
from retention.models import RetentionPolicy
from retention.services.policy_check import policy_check


class Command(CustodyCommand):
    help = (
        "Finds tables that no policy speaks of, and policies that no longer fit their tables. "
        "Exit code 1 when there are any."
    )

    def work(self, **options: Any) -> Result:
        found = policy_check()
        count = RetentionPolicy.objects.count()
        document = {
            "ok": not found,
            "policies": count,
            "findings": [{**asdict(each), "policy": each.policy or None} for each in found],
        }
        if not found:
            noun = "policy covers" if count == 1 else "policies cover"
            return Result(document, [f"{count} {noun} every table, and fit them."])
        text: list[Any] = [
            f"{f'{each.policy} ({each.table})' if each.policy else each.table}: {each.what}\n"
            f"    {each.remedy}"
            for each in found
        ]
        noun = "finding" if len(found) == 1 else "findings"
        return Result(document, text, 1, f"{len(found)} {noun}.")
