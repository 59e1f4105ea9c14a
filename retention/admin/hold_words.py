"""A hold in words: the same on its page, in lists and before a decision."""

from __future__ import annotations

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from operations.admin.show import NOTHING, Fact, badge, when
from retention.models import HoldScope, LegalHold
from retention.selectors.hold_scopes import condition_text


def scope_shown(scope: HoldScope) -> SafeString:
    """`shop.orders: rows where total > 100`."""
    if scope.kind == HoldScope.Kind.CONDITION:
        return format_html(
            "<code>{}</code>: rows where <code>{}</code>", scope.table, condition_text(scope)
        )
    words = "named rows" if scope.kind == HoldScope.Kind.ROWS else "all of it"
    return format_html("<code>{}</code>: {}", scope.table, words)


def scopes_shown(hold: LegalHold) -> SafeString:
    scopes = ((scope_shown(scope),) for scope in hold.scopes.all())
    return format_html("<span>{}</span>", format_html_join("; ", "{}", scopes))


def state_badge(hold: LegalHold) -> SafeString:
    return badge("In force", "warning") if hold.active else badge("Released")


def is_review_due(hold: LegalHold) -> bool:
    return hold.active and hold.review_on is not None and hold.review_on <= timezone.localdate()


def review_shown(hold: LegalHold) -> SafeString | str:
    if not hold.active or hold.review_on is None:
        return NOTHING
    day = f"{hold.review_on:%-d %b %Y}"
    return badge(f"Due since {day}", "danger") if is_review_due(hold) else day


def hold_summary(hold: LegalHold) -> list[Fact]:
    return [
        Fact("Case", hold.case_id),
        Fact("Reason", hold.reason),
        Fact("Holds", scopes_shown(hold)),
        Fact("Placed by", str(hold.placed_by)),
        Fact("Since", when(hold.placed_at)),
        Fact("Review", review_shown(hold)),
    ]
