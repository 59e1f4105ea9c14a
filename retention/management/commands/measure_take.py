"""manage.py measure_take: how large the tables are and what is due, for the overview's charts."""

from __future__ import annotations

from typing import Any

from operations.commands import CustodyCommand, Result, text_table
from retention.models import PolicyMeasure
from retention.presenting import bytes_text
from retention.services.measures import measure_take


class Command(CustodyCommand):
    help = (
        "Measures every table and counts what is due by every policy, as beat does each morning. "
        "Changes nothing in the governed tables."
    )

    def work(self, **options: Any) -> Result:
        with self.run_progress(options, "measure") as bar:
            measured = measure_take(on_progress=bar.amount)
        rows = [
            [
                each.policy.name,
                "" if each.due_rows is None else f"{each.due_rows:,}",
                "" if each.due_bytes is None else bytes_text(each.due_bytes),
                "" if each.held_rows is None else f"{each.held_rows:,}",
                each.problem or ("estimated" if each.estimated else ""),
            ]
            for each in measured.policies
        ]
        table = text_table(
            "policy", "due", "bytes", "held", "", rows=rows, right=frozenset({1, 2, 3})
        )
        document = {
            "tables": measured.tables,
            "measures": [measure_json(each) for each in measured.policies],
        }
        return Result(document, [table, f"{measured.tables:,} tables were measured."])


def measure_json(measure: PolicyMeasure) -> dict[str, Any]:
    return {
        "policy": measure.policy.name,
        "on": measure.on,
        "due_rows": measure.due_rows,
        "due_bytes": measure.due_bytes,
        "held_rows": measure.held_rows,
        "estimated": measure.estimated,
        "problem": measure.problem or None,
    }
