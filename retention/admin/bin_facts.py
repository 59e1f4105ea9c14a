"""What runs say of the bin on their pages: what is to go in, what is destroyed, what waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from operations.admin.show import NOTHING, Fact, clock, code, number, when_text


def bin_plan_facts(plan: dict[str, Any]) -> list[Fact]:
    """Everything that the plan found, in the order in which a person decides."""
    found = plan["bin"]
    about = "about " if plan.get("estimated") else ""
    facts = [Fact("Table", code(plan.get("table", "")))]
    if "into_bin" in plan and plan.get("age_column"):
        facts += [
            Fact(
                "Into the bin", f"{about}{number(plan['into_bin'])}", "rows, with what goes along"
            ),
            Fact("Older than", when_text(plan.get("cutoff"))),
        ]
    if "into_bin" in plan:
        keep = code(plan["keep_while"]) if plan.get("keep_while") else "no condition"
        facts.append(Fact("Kept while", keep))
    facts += [
        Fact(
            "Destroyed from the bin",
            number(found["going"]),
            f"of {number(found['rows'])} rows of {_deletions(found['deletions'])}"
            if found["going"] < found["rows"]
            else f"rows of {_deletions(found['deletions'])}",
        ),
        Fact("What becomes of them", str(plan.get("disposition", NOTHING)).capitalize()),
        *(Fact(f"Deletion {e['deletion']} waits", e["why"]) for e in found["waiting_because"]),
        *(
            Fact(f"Hold {each['hold']}", number(each["rows"]), "rows that would go without it")
            for each in plan.get("held_by", [])
        ),
    ]
    if (found["waiting"] or 0) > len(found["waiting_because"]):
        facts.append(Fact("Waiting in all", number(found["waiting"]), "deletions"))
    if found["in_grace"] and "into_bin" in plan:
        facts.append(
            Fact(
                "Still in its grace",
                number(found["in_grace_rows"]),
                f"rows of {_deletions(found['in_grace'])}; the next ends "
                f"{clock(datetime.fromisoformat(found['next_end']))}",
            )
        )
    if plan.get("policy"):
        facts.append(Fact("Policy", plan["policy"]))
    return facts


def _deletions(count: int) -> str:
    return f"{number(count)} deletion{'' if count == 1 else 's'}"


def bin_outcome(result: dict[str, Any]) -> list[Fact]:
    """What a run did with the bin; nothing where it had nothing to do with one."""
    found = result.get("bin")
    if found is None:
        return []
    return [
        Fact("Moved into the bin", number(found["moved_in"]), "rows, which can be restored"),
        Fact("Destroyed from the bin", number(found["destroyed"])),
    ]
