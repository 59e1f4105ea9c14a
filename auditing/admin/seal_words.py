"""The log's seals in words: the answer at the top of pages, and what a block covers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.utils.safestring import SafeString

from auditing.admin.own import may_see_rows
from auditing.admin.record_links import record_link
from auditing.models import SealBlock, TrackedTable, VerifyFinding
from auditing.services.seal_state import SealState
from operations.admin.show import Fact, badge, clock, link, number, when, when_text
from operations.runs.states import RunState

_OWN = {
    "custody.auditing_changecontext": "who and why",
    "custody.auditing_changestatement": "lines of the log",
    "custody.auditing_changetransaction": "transactions",
    "custody.auditing_auditevent": "events of the audit",
    "custody.auditing_removal": "what purges and retention removed",
    "custody.auditing_redaction": "redacted values",
}
_FORMS = {"image": "as found", "carried": "carried forward"}
"""What is no change of a row."""


def _ended(run: Any) -> Any:
    return run.finished_at or run.created_at


def state_facts(state: SealState) -> list[Fact]:
    facts = [_last_fact(state)]
    waits = when(state.waiting_since, empty="none: all is sealed")
    facts.append(Fact("Oldest change that waits to be sealed", waits))
    if state.anchor is not None:
        anchor = state.anchor.anchor
        told = "Accepted rewind, to block" if anchor.kind == "rewound" else "Block"
        facts.append(Fact("Last anchor", f"{told} {number(anchor.number)}", state.anchor.where))
        facts.append(Fact("Anchored", when_text(anchor.at)))
    else:
        facts.append(Fact("Last anchor", "none that can be read", "outside the database"))
    if state.stored_at is not None:
        facts.append(
            Fact("Anchor in the storage", f"Block {number(state.stored)}", clock(state.stored_at))
        )
    return [*facts, _verified_fact(state)]


def _last_fact(state: SealState) -> Fact:
    if state.last is None:
        return Fact("Last block", "none")
    return Fact(
        "Last block",
        link(state.last, "auditing_sealblock_change", state.last.pk),
        clock(state.last.made_at),
    )


def _verified_fact(state: SealState) -> Fact:
    proved = state.verification
    if proved is None:
        return Fact("Last verification", "never")
    found = f"{number(proved.findings)} found" if proved.findings else "nothing found"
    if proved.run.current is not RunState.SUCCEEDED:
        found = f"{proved.run.current.label.lower()}, {found}"
    what = "the whole log" if proved.whole else proved.run.subject
    shown = link(f"Run {proved.run.pk}: {found}", "operations_run_change", proved.run.pk)
    return Fact("Last verification", shown, f"{what}, {clock(_ended(proved.run))}")


class Sources:
    """Tables by the names that people know: asked once for a page."""

    def __init__(self) -> None:
        self._tables = {f"history.{each.history_name}": each for each in TrackedTable.objects.all()}

    def table(self, source: str) -> TrackedTable | None:
        return self._tables.get(source)

    def name(self, source: str, form: str = "") -> str:
        """`shop.orders` of its history; what a table of ours is about."""
        tracked = self._tables.get(source)
        shown = str(tracked) if tracked is not None else _OWN.get(source, source)
        return f"{shown} ({_FORMS[form]})" if form in _FORMS else shown

    def covered(self, header: str, *, most: int = 4) -> str:
        """`shop.orders 12, transactions 3 and 2 more`: the changes first."""
        counts: dict[str, int] = {}
        tables: set[str] = set()
        for each in sections_of(header):
            name = self.name(each["source"], each["form"])
            counts[name] = counts.get(name, 0) + each["leaves"]
            if self.table(each["source"]) is not None:
                tables.add(name)
        ordered = sorted(counts, key=lambda name: (name not in tables, -counts[name], name))
        told = ", ".join(f"{name} {number(counts[name])}" for name in ordered[:most])
        more = len(ordered) - most
        return f"{told} and {more} more" if more > 0 else told


def sections_of(header: str) -> Sequence[dict[str, Any]]:
    """As the header has them; none of one that was spoiled."""
    try:
        found = json.loads(header)["sections"]
        return [
            {
                "source": str(each["source"]),
                "form": str(each["form"]),
                "leaves": int(each["leaves"]),
                "names": list(each["names"]),
            }
            for each in found
        ]
    except (ValueError, TypeError, KeyError):
        return []


def finding_line(found: VerifyFinding, user: User | AnonymousUser) -> dict[str, Any]:
    """A finding with links to what it is about. `tracked` is read with it."""
    links: list[SafeString] = []
    if found.tracked is not None and found.record_id and may_see_rows(user, found.tracked):
        links.append(record_link(found.tracked, found.record_id))
    if found.block is not None and SealBlock.objects.filter(pk=found.block).exists():
        links.append(link(f"Block {found.block}", "auditing_sealblock_change", found.block))
    return {
        "kind": badge(found.get_kind_display(), "danger"),
        "table": str(found.tracked) if found.tracked is not None else "",
        "text": found.text,
        "links": links,
    }
