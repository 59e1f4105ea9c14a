"""Holds as other pages show them: on the table of a policy, of an archive, on a record."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import AnonymousUser, User
from django.utils.safestring import SafeString

from operations.admin.show import Fact, badge, joined, link
from operations.catalogue.types import TableName
from retention.models import LegalHold
from retention.selectors.holds import holds_of_table


def hold_links(holds: Iterable[LegalHold], user: User | AnonymousUser) -> SafeString:
    """A badge for each hold, leading to its page for those who may see it."""
    sees = user.has_perm("retention.view_legalhold")
    return joined(
        [
            link(badge(str(hold), "warning"), "retention_legalhold_change", hold.pk)
            if sees
            else badge(str(hold), "warning")
            for hold in holds
        ]
    )


def hold_facts(table: TableName, user: User | AnonymousUser, *, using: str) -> list[Fact]:
    """One line that names the active holds on the table; no line without any."""
    holds = holds_of_table(table, using=using)
    if not holds:
        return []
    return [
        Fact("Under legal hold", hold_links(holds, user), "what they hold is destroyed by nothing")
    ]
