"""Holds as JSON and as lines for people: the same for every command."""

from __future__ import annotations

from typing import Any

from retention.models import HeldRow, HoldScope, LegalHold
from retention.selectors.hold_counts import Amount
from retention.selectors.hold_follows import Release
from retention.selectors.hold_scopes import condition_text
from retention.services.hold_place import ScopeCovers


def hold_json(hold: LegalHold) -> dict[str, Any]:
    """The document that stands under `hold`."""
    return {
        "case_id": hold.case_id,
        "state": "active" if hold.active else "released",
        "reason": hold.reason,
        "placed_by": str(hold.placed_by),
        "placed_at": hold.placed_at,
        "review_on": hold.review_on,
        "released_by": str(hold.released_by) if hold.released_by else None,
        "released_at": hold.released_at,
        "release_reason": hold.release_reason or None,
        "scopes": [scope_json(scope) for scope in hold.scopes.all()],
    }


def scope_json(scope: HoldScope) -> dict[str, Any]:
    return {
        "table": str(scope.table),
        "kind": scope.kind,
        "condition": condition_text(scope) or None,
        "added_by": str(scope.added_by),
        "added_at": scope.added_at,
    }


def scope_words(scope: HoldScope) -> str:
    """`rows of shop.orders where total > 100`; of named rows without their number."""
    if scope.kind == HoldScope.Kind.CONDITION:
        return f"rows of {scope.table} where {condition_text(scope)}"
    if scope.kind == HoldScope.Kind.ROWS:
        return f"named rows of {scope.table}"
    return f"all of {scope.table}"


def named_count(scope: HoldScope) -> int | None:
    """How many rows it names; None when it names none one by one."""
    if scope.kind != HoldScope.Kind.ROWS:
        return None
    return HeldRow.objects.filter(scope=scope).count()


def amount_json(amount: Amount) -> dict[str, Any]:
    return {"rows": amount.rows, "estimated": amount.estimated}


def covers_json(covers: ScopeCovers) -> dict[str, Any]:
    return {
        "table": str(covers.asked.table.name),
        "kind": str(covers.asked.kind),
        **amount_json(covers.rows),
        "missing": covers.missing,
    }


def covers_line(covers: ScopeCovers) -> str:
    line = f"{covers.asked.table.name}: {covers.rows} rows"
    if covers.missing:
        line += f", and {covers.missing:,} keys without a row"
    return line


def release_json(release: Release) -> dict[str, Any]:
    return {
        "becomes_due": [
            {
                "policy": each.policy.name,
                "table": str(each.policy.table),
                **amount_json(each.rows),
            }
            for each in release.due
        ],
        "archives": [archive.name for archive in release.archives],
    }


def release_lines(release: Release) -> list[str]:
    """What becomes due, one line a policy and one for the archives."""
    lines = [
        f"{each.rows} rows of {each.policy.table} become due by policy {each.policy.name}: "
        "nothing but this hold keeps them."
        for each in release.due
    ] or ["No policy has rows that become due."]
    if release.archives:
        names = ", ".join(archive.name for archive in release.archives)
        lines.append(f"{len(release.archives):,} archives past their term may expire: {names}.")
    return lines
